import type { Action } from '../../../hub/access/caller.js';
import { consentSays, levelOf } from './consent-oracle.js';
import { type Asker, CONSENT_REQUIRED, type Limits, type RecordOf, type Validity, type World } from './world.js';

/** Whether an action is allowed, found a second time from the rules as people say them: plain loops, nothing shared with the hub. */
export function oracle(world: World, asker: Asker, action: Action, record: RecordOf): boolean {
  if (action === 'know')
    return knows(world, asker, record) || allowed(world, asker, 'read', record) || shownSeries(world, asker, record).length > 0;
  if (action === 'read-part') return shownSeries(world, asker, record).length > 0;
  return allowed(world, asker, action, record);
}

const isCare = (purpose: string): boolean => purpose === 'TREAT' || purpose === 'ETREAT';
const isClinician = (asker: Asker): boolean => asker.role === 'physician' || asker.role === 'hospital-system';

function knows(world: World, asker: Asker, record: RecordOf): boolean {
  if (opens(world, asker, record)) return record.type !== 'Task';
  return isClinician(asker) && isCare(asker.purpose) && record.type !== 'Task' && registered(world, asker.hospital, record);
}

function allowed(world: World, asker: Asker, action: Action, record: RecordOf): boolean {
  return hasBasis(world, asker, action, record) && !isDenied(world, asker, record);
}

function hasBasis(world: World, asker: Asker, action: Action, record: RecordOf): boolean {
  const own = record.custodian === asker.hospital;
  const sees = action === 'read' || action === 'retrieve';
  const uses = sees || action === 'score';
  const party = asker.hospital !== null && record.parties.includes(asker.hospital);
  if (opens(world, asker, record) && sees && record.type !== 'Task') return true;
  if (isClinician(asker) && isCare(asker.purpose)) {
    if (own && uses) return true;
    if (own && action === 'disclose') return record.type !== 'Task';
    if (own && action === 'write')
      return asker.role === 'hospital-system' || record.type === 'DiagnosticReport' || record.type === 'Task';
    if (party && action === 'read' && record.type !== 'ImagingStudy' && record.type !== 'Patient') return true;
    if (party && action === 'write' && record.type === 'Task') return true;
    if (
      action === 'score' &&
      (record.type === 'ImagingStudy' || record.type === 'DiagnosticReport') &&
      byAgreement(world, asker, record, true)
    )
      return true;
    if (uses && record.type !== 'Task')
      return byConsortium(world, asker, record) || byAgreement(world, asker, record) || byGrant(world, asker, record);
    return false;
  }
  if (asker.role === 'physician' && asker.purpose === 'HRESCH')
    return (
      sees && (record.type === 'ImagingStudy' || record.type === 'DiagnosticReport') && (own || byAgreement(world, asker, record))
    );
  if (asker.role === 'hospital-system' && asker.purpose === 'HOPERAT') return own && (action === 'read' || action === 'write');
  if (asker.role === 'hospital-administrator' && asker.purpose === 'HOPERAT') {
    if (record.type === 'Task' && (action === 'read' || action === 'write')) return own || party;
    return own && (action === 'read' || (action === 'disclose' && record.type !== 'Task'));
  }
  if (asker.role === 'identity-steward')
    return own && record.type === 'Patient' && (action === 'read' || action === 'write' || action === 'link');
  if (asker.role === 'patient') return sees && isSelf(world, asker, record);
  return false;
}

function isDenied(world: World, asker: Asker, record: RecordOf): boolean {
  const own = record.custodian === asker.hospital;
  const self = isSelf(world, asker, record);
  const ofOwnPatient = record.hospital === asker.hospital;
  if (self) return false;
  const mustHavePermit = CONSENT_REQUIRED.includes(asker.purpose);
  const denied = consentSays(world, asker, record, 'deny');
  if (mustHavePermit && (denied || !consentSays(world, asker, record, 'permit'))) return true;
  if (own) return false;
  if (world.suspended[record.custodian] || (asker.hospital !== null && world.suspended[asker.hospital])) return true;
  if (record.type === 'Task' || ofOwnPatient) return false;
  return denied || (levelOf(record) >= 4 && !consentSays(world, asker, record, 'permit', true));
}

function isSelf(world: World, asker: Asker, record: RecordOf): boolean {
  return isHerself(world, asker, record) || (asker.guardian === true && world.guardians.some((g) => isWard(world, g, record)));
}

/** The hospital says so today, the login is bound to its record, and a parent's child is a minor. */
function isWard(world: World, g: World['guardians'][number], record: RecordOf): boolean {
  const person = world.persons[record.person]!;
  if (!g.bound || g.person !== record.person || !isNow(g.valid) || world.suspended[g.hospital]) return false;
  if (g.kind === 'parent' && (person.majority === null || person.majority <= 0)) return false;
  return record.hospital === g.hospital || person.linked;
}

function isHerself(world: World, asker: Asker, record: RecordOf): boolean {
  if (asker.role !== 'patient' || !asker.patient || asker.patient.person !== record.person) return false;
  const person = world.persons[record.person]!;
  return record.hospital === asker.patient.hospital || (person.linked && person.at[asker.patient.hospital]!);
}

function registered(world: World, hospital: number | null, record: RecordOf): boolean {
  const person = world.persons[record.person]!;
  if (hospital === null || !person.at[hospital]) return false;
  return hospital === record.hospital || person.linked;
}

/** A session for break-glass, a confirmed case for oversight: the asker's own, open, and for the person of the record. */
function opens(world: World, asker: Asker, record: RecordOf): boolean {
  const session = asker.session === undefined ? undefined : world.sessions[asker.session];
  if (!session || session.by !== asker.hospital || session.moved || session.ended || !isNow(session.valid)) return false;
  if (session.kind === 'break-glass' && (asker.role !== 'physician' || asker.purpose !== 'BTG')) return false;
  if (session.kind === 'oversight' && (asker.role !== 'commission-officer' || !session.confirmed)) return false;
  if (record.person !== session.person) return false;
  const person = world.persons[record.person]!;
  if (record.hospital === session.hospital) return true;
  return session.linkedThen.includes(record.hospital) && person.linked && person.at[session.hospital]!;
}

function byConsortium(world: World, asker: Asker, record: RecordOf): boolean {
  if (!registered(world, asker.hospital, record) || world.suspended[record.custodian] || record.custodian === asker.hospital)
    return false;
  for (const mine of world.members) {
    if (mine.hospital !== asker.hospital || !isNow(mine.valid) || !mine.signed) continue;
    const consortium = world.consortia[mine.consortium]!;
    if (!consortium.active || !covers(consortium.charter, asker, record)) continue;
    for (const theirs of world.members)
      if (
        theirs.consortium === mine.consortium &&
        theirs.hospital === record.custodian &&
        theirs.signed &&
        isNow(theirs.valid) &&
        covers(theirs.terms, asker, record)
      )
        return true;
  }
  return false;
}

/** @param scoreOnly of the agreements that let records be scored and show nothing of them */
function byAgreement(world: World, asker: Asker, record: RecordOf, scoreOnly = false): boolean {
  return world.agreements.some(
    (a) =>
      a.scoreOnly === scoreOnly &&
      a.from === record.custodian &&
      a.to === asker.hospital &&
      isNow(a.valid) &&
      isSigned(a) &&
      !world.suspended[a.from] &&
      covers(a.limits, asker, record),
  );
}

/** Places of the series that an agreement opens which looks at each by itself, whether or not the whole study is open. */
export function shownSeries(world: World, asker: Asker, record: RecordOf): number[] {
  const looks = (isClinician(asker) && isCare(asker.purpose)) || (asker.role === 'physician' && asker.purpose === 'HRESCH');
  if (!looks || record.type !== 'ImagingStudy' || isDenied(world, asker, record)) return [];
  return record.series.flatMap((series, i) => {
    const alone = { ...record, modality: [series.modality ?? ''], bodySite: [series.bodySite ?? ''] };
    return byAgreement({ ...world, agreements: world.agreements.filter((a) => a.bySeries) }, asker, alone) ? [i] : [];
  });
}

const isSigned = ({ signatures }: World['agreements'][number]): boolean =>
  signatures.custodian && signatures.recipient && signatures.flaw === 'none';

/** Ids of the agreements and memberships that are signed as they have to be, in order. */
export function inForce(world: World): string[] {
  const agreements = world.agreements.flatMap((a, i) => (isSigned(a) ? [`a${i}`] : []));
  const members = world.members.flatMap((m, i) => (m.signed ? [`m${i}`] : []));
  return [...agreements, ...members].sort();
}

function byGrant(world: World, asker: Asker, record: RecordOf): boolean {
  return world.grants.some((g) => {
    if (world.records[g.record] !== record || g.custodian !== record.custodian || g.to !== asker.hospital) return false;
    const mine = g.toPractitioner === null || (asker.role === 'physician' && g.toPractitioner === asker.hospital);
    return mine && !g.ended && isNow(g.valid) && !world.suspended[g.custodian];
  });
}

function covers(limits: Limits, asker: Asker, record: RecordOf): boolean {
  if (limits.purpose && !limits.purpose.includes(asker.purpose)) return false;
  if (limits.days !== null && (record.sinceBoundary === null || record.sinceBoundary < 0)) return false;
  if (limits.modality && (record.modality.length === 0 || record.modality.some((m) => !limits.modality!.includes(m))))
    return false;
  return !limits.bodySite || (record.bodySite.length > 0 && !record.bodySite.some((b) => !limits.bodySite!.includes(b)));
}

/** Half-open: from the first instant, until before the last. */
function isNow({ from, until }: Validity): boolean {
  return (from === null || from <= 0) && (until === null || until > 0);
}
