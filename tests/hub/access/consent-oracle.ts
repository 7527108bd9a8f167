import {
  ACT_CODE,
  CONFIDENTIALITY,
  type ConsentOf,
  GROUP,
  type Period,
  type ProvisionOf,
  STOPS_BREAK_GLASS,
} from './consent-world.js';
import type { Asker, RecordOf, World } from './world.js';

/** Whether a criterion is met, as far as it can be told. */
type Answer = 'yes' | 'no' | 'maybe';

/** What a person's consents say of an asker and a record: read from the trees as people read them, nothing shared with the hub. */
export function consentSays(world: World, asker: Asker, record: RecordOf, decision: 'permit' | 'deny', byLabel = false): boolean {
  const person = world.persons[record.person]!;
  for (const consent of world.consents) {
    if (consent.person !== record.person || !(consent.hospital === record.hospital || person.linked)) continue;
    if (decision === 'deny' && asker.purpose === 'BTG' && !decidesOnBreakGlass(consent)) continue;
    const mayOpen = consent.herself || consent.hospital === record.hospital;
    for (const speaker of speakers(world, asker, record, consent))
      if (speaker.decision === decision && (decision === 'deny' || mayOpen) && (!byLabel || speaker.namesLabel)) return true;
  }
  return false;
}

function decidesOnBreakGlass(consent: ConsentOf): boolean {
  const names = (p: ProvisionOf): boolean => (p.purpose ?? []).some((c) => c.code === 'BTG') || (p.provision ?? []).some(names);
  return consent.policy.includes(STOPS_BREAK_GLASS) || (consent.provision !== null && names(consent.provision));
}

interface Speaker {
  decision: 'permit' | 'deny';
  namesLabel: boolean;
}

/** The innermost provisions that match. */
function speakers(world: World, asker: Asker, record: RecordOf, consent: ConsentOf): Speaker[] {
  if (consent.status !== 'active' || consent.scope === 'treatment') return [];
  const root = consent.provision;
  const optOut = consent.policyRule === 'OPTOUT';
  const inTree = root ? ofProvision(root, {}, root.type ?? typeOfRoot(consent, root)) : [];
  if (inTree.length > 0) return inTree;
  if (optOut) {
    const isOver = root && !root.type && root.period && isNow(root.period) === 'no';
    return isOver ? [] : [{ decision: 'deny', namesLabel: false }];
  }
  if (root) return [];
  if (consent.policyRule !== 'OPTIN') return [{ decision: 'deny', namesLabel: false }];
  return consent.scope === 'patient-privacy' ? [{ decision: 'permit', namesLabel: false }] : [];

  function ofProvision(own: ProvisionOf, parent: ProvisionOf, type: string | undefined): Speaker[] {
    const isStrange = own.modifierExtension !== undefined || parent.modifierExtension !== undefined;
    const { provision: nested = [], type: _type, ...states } = own;
    const effective: ProvisionOf = own.modifierExtension
      ? { modifierExtension: own.modifierExtension }
      : { ...parent, ...states };
    const inner = nested.flatMap((p) => ofProvision(p, effective, p.type));
    if (inner.length > 0) return inner;
    const isPermit = type === 'permit' && !isStrange;
    if (type === 'permit' && isStrange && !own.modifierExtension) return [];
    const answers = criteria(world, asker, record, effective, isPermit);
    if (isPermit && root?.period) answers.push(isNow(root.period));
    if (isPermit && (consent.scope !== 'patient-privacy' || answers.some((a) => a !== 'yes'))) return [];
    if (!isPermit && answers.includes('no')) return [];
    return [{ decision: isPermit ? 'permit' : 'deny', namesLabel: effective.securityLabel !== undefined }];
  }
}

function typeOfRoot(consent: ConsentOf, root: ProvisionOf): string {
  const { period: _period, provision: _provision, modifierExtension: _modifier, ...limits } = root;
  return consent.policyRule === 'OPTIN' && Object.keys(limits).length === 0 ? 'permit' : 'deny';
}

function criteria(world: World, asker: Asker, record: RecordOf, p: ProvisionOf, isPermit: boolean): Answer[] {
  const answers: Answer[] = [];
  if (p.period) answers.push(isNow(p.period));
  if (p.actor) answers.push(isActor(p.actor, asker, record));
  if (p.purpose) answers.push(anyOf(p.purpose.map(({ code }) => isPurpose(code, asker.purpose))));
  if (p.class) answers.push(anyOf(p.class.map(({ code }) => (code === 'Resource' ? 'maybe' : sure(code === record.type)))));
  if (p.securityLabel) answers.push(isPermit ? labelPermitted(p.securityLabel, record) : labelDenied(p.securityLabel, record));
  if (p.data) answers.push(anyOf(p.data.map((d) => isData(d, world, record))));
  if (p.dataPeriod) answers.push(isDated(p.dataPeriod, record));
  if (p.action) answers.push(p.action.length === 3 ? 'yes' : 'maybe');
  if (p.code) answers.push('maybe');
  return answers;
}

const sure = (met: boolean): Answer => (met ? 'yes' : 'no');

function anyOf(answers: readonly Answer[]): Answer {
  if (answers.includes('yes')) return 'yes';
  return answers.includes('maybe') ? 'maybe' : 'no';
}

function isReadable({ start, end }: Period): boolean {
  return (start !== undefined || end !== undefined) && !(start !== undefined && end !== undefined && end < start);
}

function isNow(period: Period): Answer {
  if (!isReadable(period)) return 'maybe';
  return sure((period.start ?? 0) <= 0 && (period.end ?? 0) >= 0);
}

function isActor(actors: NonNullable<ProvisionOf['actor']>, asker: Asker, record: RecordOf): Answer {
  const names = [`Organization/h${asker.hospital}`];
  if (asker.role === 'physician') names.push(`Practitioner/doctor-${asker.hospital}`);
  if (asker.purpose === 'BTG') names.push(GROUP);
  if (actors.every(({ role }) => role === 'CST'))
    return anyOf(
      actors.map(({ reference }) =>
        reference.startsWith('Organization/') ? sure(reference === `Organization/h${record.custodian}`) : 'maybe',
      ),
    );
  if (actors.some(({ role }) => role !== 'IRCP')) return 'maybe';
  return anyOf(
    actors.map(({ reference }) => {
      if (names.includes(reference)) return 'yes';
      return reference.startsWith('Organization/') || reference.startsWith('Practitioner/') ? 'no' : 'maybe';
    }),
  );
}

function isPurpose(code: string, purpose: string): Answer {
  if (code === 'unheard-of') return 'maybe';
  return sure(code === purpose || (code === 'TREAT' && purpose === 'ETREAT'));
}

const LEVELS = ['U', 'L', 'M', 'N', 'R', 'V'];

/** The higher of what its labels say: normal when they say nothing, restricted when one is a sensitivity. */
export function levelOf(record: RecordOf): number {
  let level = -1;
  for (const { system, code } of record.labels) {
    if (system === CONFIDENTIALITY) level = Math.max(level, LEVELS.includes(code) ? LEVELS.indexOf(code) : 5);
    if (system === ACT_CODE) level = Math.max(level, 4);
  }
  return level < 0 ? 3 : level;
}

type Label = { system: string; code: string };
const isIn = (label: Label, labels: readonly Label[]): boolean =>
  labels.some((l) => l.system === label.system && l.code === label.code);

function labelPermitted(named: readonly Label[], record: RecordOf): Answer {
  const levels = named.filter((l) => l.system === CONFIDENTIALITY && l.code !== 'X').map((l) => LEVELS.indexOf(l.code));
  if (levels.some((level) => levelOf(record) <= level)) return 'yes';
  const others = named.filter((l) => l.system !== CONFIDENTIALITY);
  const namesOne = record.labels.some((l) => isIn(l, others));
  const namesAll = record.labels.every((l) => l.system !== ACT_CODE || isIn(l, others));
  if (namesOne && namesAll && levelOf(record) < 5) return 'yes';
  return named.some((l) => l.code === 'X') ? 'maybe' : 'no';
}

function labelDenied(named: readonly Label[], record: RecordOf): Answer {
  if (named.some((l) => l.code === 'X')) return 'maybe';
  for (const label of named) {
    if (label.system === CONFIDENTIALITY && levelOf(record) >= LEVELS.indexOf(label.code)) return 'yes';
    if (label.system !== CONFIDENTIALITY && isIn(label, record.labels)) return 'yes';
  }
  return 'no';
}

function isData({ meaning, reference }: NonNullable<ProvisionOf['data']>[number], world: World, record: RecordOf): Answer {
  if (reference.startsWith('https://elsewhere') || reference.startsWith('PractitionerRole')) return 'maybe';
  const name = (r: RecordOf): string => `${r.type}/r${world.records.indexOf(r)}`;
  if (meaning === 'authoredby') {
    if (record.authors.includes(reference) || reference === `Organization/h${record.custodian}`) return 'yes';
    const isOpen = record.authors.length === 0 || record.authors.includes('?');
    return reference.startsWith('Practitioner/') && isOpen ? 'maybe' : 'no';
  }
  if (name(record) === reference) return 'yes';
  if (meaning !== 'instance' && record.refers.includes(reference)) return 'yes';
  const target = world.records.find((r) => name(r) === reference);
  return meaning === 'related' && target?.refers.includes(name(record)) ? 'maybe' : 'no';
}

/** Dates are from the boundary; a record's last millisecond is excluded, a period's included. */
function isDated(period: Period, record: RecordOf): Answer {
  if (!isReadable(period)) return 'maybe';
  const { start = null, end = null } = period;
  const from = record.sinceBoundary;
  const until = record.sinceBoundary === null || record.lasts === null ? null : record.sinceBoundary + record.lasts;
  if (from !== null && end !== null && from > end) return 'no';
  if (until !== null && start !== null && until <= start) return 'no';
  const beginsInside = start === null || (from !== null && from >= start);
  const endsInside = end === null || (until !== null && until - 1 <= end);
  return beginsInside && endsInside ? 'yes' : 'maybe';
}
