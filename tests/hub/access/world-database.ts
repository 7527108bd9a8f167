import type { PoolClient } from 'pg';
import { putInForce } from '../../../hub/access/agreements/agreement-facts.sql.js';
import { type AgreementTerms, digestOf } from '../../../hub/access/agreements/agreement-terms.js';
import { recordRules, refreshConsents } from '../../../hub/access/consent/consents.js';
import { refreshRegistrations } from '../../../hub/access/policy/registrations.js';
import type { Database, Queryable } from '../../../hub/store/database.js';
import { join, raw, type Sql, sql } from '../../../hub/store/sql.js';
import { resourceOf as consentResource } from './consent-world.js';
import { HOSPITALS, type Limits, type RecordOf, type Signatures, type Validity, type World } from './world.js';

/**
 * A transaction whose now() is a whole millisecond, so that a date can stand exactly on a boundary. Worlds come and go inside it.
 */
export async function openInstant(db: Database): Promise<{ tx: Queryable; close(): Promise<void> }> {
  const client = await db.pool.connect();
  const tx = queryable(client);
  for (;;) {
    await client.query('begin');
    const { rows } = await client.query<{ whole: boolean }>("select now() = date_trunc('milliseconds', now()) as whole");
    if (rows[0]?.whole) break;
    await client.query('rollback');
  }
  return {
    tx,
    close: async () => {
      await client.query('rollback');
      client.release();
    },
  };
}

const queryable = (client: PoolClient): Queryable => ({
  query: async (statement: Sql) => (await client.query(statement.toQuery())).rows,
});

/** Puts a world into the database, lets `work` look at it, and takes it away. */
export async function inWorld<T>(tx: Queryable, world: World, work: () => Promise<T>): Promise<T> {
  await tx.query(raw('savepoint world'));
  try {
    await create(tx, world);
    return await work();
  } finally {
    await tx.query(raw('rollback to savepoint world'));
  }
}

export const idOf = (world: World, record: RecordOf): string =>
  record.type === 'Patient' ? patientId(record.person, record.hospital) : `r${world.records.indexOf(record)}`;
const patientId = (person: number, hospital: number): string => `p${person}-${hospital}`;

async function create(tx: Queryable, world: World): Promise<void> {
  const organizations = [
    ...world.suspended.map((suspended, h) => ({ id: `h${h}`, kind: 'hospital', active: !suspended })),
    ...world.consortia.map(({ active }, k) => ({ id: `k${k}`, kind: 'consortium', active })),
  ];
  await insert(
    tx,
    raw('organization (id, kind, name, active)'),
    organizations.map((o) => sql`(${o.id}, ${o.kind}, ${o.id}, ${o.active})`),
  );
  await insert(
    tx,
    raw('consortium_charter (consortium_id, modality, body_site, purpose, not_older_than_days)'),
    world.consortia.map(({ charter }, k) => sql`(${`k${k}`}, ${limitsOf(charter)})`),
  );
  await createAgreements(tx, world);
  await insert(
    tx,
    raw(
      'access_grant (id, task_id, granted_by, patient_id, custodian_id, recipient_id, practitioner_id, resources, ended_at, valid_from, valid_until)',
    ),
    world.grants.map((g, i) => {
      const record = world.records[g.record]!;
      const resources = [`${record.type}/${idOf(world, record)}`];
      return sql`(${`g${i}`}, 'task', 'x', ${patientId(record.person, record.hospital)}, ${`h${g.custodian}`}, ${`h${g.to}`}, ${g.toPractitioner === null ? null : `doctor-${g.toPractitioner}`}, ${resources}::text[], ${raw(g.ended ? 'now()' : 'null::timestamptz')}, ${validityOf(g.valid)})`;
    }),
  );
  await createPersons(tx, world);
  await createSessions(tx, world);
}

async function createSessions(tx: Queryable, world: World): Promise<void> {
  for (const [i, s] of world.sessions.entries()) {
    const agent = s.kind === 'oversight' ? `Account/officer-${s.by}` : `Practitioner/doctor-${s.by}`;
    const isCase = s.kind === 'oversight';
    const confirmed = isCase && s.confirmed ? 'now()' : 'null';
    await tx.query(sql`
      insert into exceptional_access (id, kind, agent, agent_name, organization_id, reason, statement, case_number, confirmed_by, confirmed_at, valid_from,
        valid_until, ended_at, review_due)
      values (${`s${i}`}, ${s.kind}, ${agent}, '', ${`h${s.moved ? (s.by + 1) % HOSPITALS : s.by}`}, 'x', 'x', ${isCase ? 'case' : null},
        ${isCase && s.confirmed ? 'another' : null}, ${raw(confirmed)}, ${isCase && !s.confirmed ? raw('null') : instant(s.valid.from, '-infinity')},
        ${instant(s.valid.until, 'infinity')}, ${raw(s.ended ? 'now()' : 'null')}, ${raw(isCase ? 'null' : 'now()')})`);
    const hospitals = new Set([s.hospital, ...s.linkedThen]);
    for (const h of [...hospitals].filter((at) => world.persons[s.person]!.at[at]))
      await tx.query(sql`
        insert into exceptional_access_patient (access_id, patient_id, custodian_id, named)
        values (${`s${i}`}, ${patientId(s.person, h)}, ${`h${h}`}, ${h === s.hospital})`);
  }
}

async function createAgreements(tx: Queryable, world: World): Promise<void> {
  for (const [i, m] of world.members.entries()) {
    const terms = termsOf(`m${i}`, 'consortium-membership', `k${m.consortium}`, `h${m.hospital}`, m.terms);
    if (m.signed) await sign(tx, terms, { organization: terms.participant, account: 'x', flaw: 'none' });
    await putInForce(tx, terms, true);
    await tx.query(
      sql`update consortium_member set (valid_from, valid_until) = (${validityOf(m.valid)}) where affiliation_id = ${terms.agreement}`,
    );
  }
  for (const [i, { from, to, limits, valid, signatures, bySeries, scoreOnly }] of world.agreements.entries()) {
    const terms = termsOf(`a${i}`, 'sharing-agreement', `h${from}`, `h${to}`, limits, { bySeries, scoreOnly });
    const { flaw } = signatures;
    if (signatures.custodian) await sign(tx, terms, { organization: terms.organization, account: 'x', flaw: 'none' });
    if (signatures.recipient)
      await sign(tx, terms, {
        organization: flaw === 'stranger' ? 'stranger' : terms.participant,
        account: flaw === 'one-person' ? 'x' : 'y',
        flaw,
      });
    await putInForce(tx, terms, flaw !== 'closed');
    await tx.query(
      sql`update sharing_agreement set (valid_from, valid_until) = (${validityOf(valid)}) where id = ${terms.agreement}`,
    );
  }
}

/** Ids of what stands in the fact tables once the agreements and memberships of a world are put there. */
export async function agreementsOf(tx: Queryable, world: World): Promise<string[]> {
  await tx.query(raw('savepoint world'));
  await createAgreements(tx, world);
  const rows = await tx.query<{ id: string }>(
    raw('select id from sharing_agreement union all select affiliation_id from consortium_member'),
  );
  await tx.query(raw('rollback to savepoint world'));
  return rows.map((row) => row.id).sort();
}

function termsOf(
  agreement: string,
  kind: AgreementTerms['kind'],
  organization: string,
  participant: string,
  l: Limits,
  { bySeries = false, scoreOnly = false } = {},
): AgreementTerms {
  const scope = {
    modality: l.modality,
    bodySite: l.bodySite,
    purpose: l.purpose,
    notOlderThanDays: l.days,
    ...(bySeries ? { bySeries: true as const } : {}),
    ...(scoreOnly ? { scoreOnly: true as const } : {}),
  };
  return { agreement, kind, organization, participant, from: null, until: null, scope };
}

async function sign(
  tx: Queryable,
  terms: AgreementTerms,
  by: { organization: string; account: string; flaw: Signatures['flaw'] },
): Promise<void> {
  const digest = by.flaw === 'other-terms' ? 'other' : digestOf(terms);
  const [at, because] = by.flaw === 'taken-back' ? [raw('now()'), 'withdrawn'] : [raw('null'), null];
  await tx.query(sql`
    insert into agreement_signature (id, agreement_id, organization_id, signer, account, signer_name, digest, signed_at, jws, ended_at, ended_because)
    values (${`${terms.agreement} ${by.organization}`}, ${terms.agreement}, ${by.organization}, ${by.account}, ${by.account}, '', ${digest}, now(), '', ${at}, ${because})`);
}

async function createPersons(tx: Queryable, world: World): Promise<void> {
  const patients = world.persons.flatMap(({ at, linked }, p) =>
    at.flatMap((there, h) => (there ? [{ id: patientId(p, h), person: p, hospital: h, linked }] : [])),
  );
  const inRecords = new Map(world.records.filter((r) => r.type === 'Patient').map((r) => [idOf(world, r), r]));
  const rows = [
    ...world.records.filter((r) => r.type !== 'Patient').map((r) => resourceOf(r.type, idOf(world, r), r)),
    ...patients.map(({ id, person, hospital }) => {
      const record = inRecords.get(id);
      return sql`('Patient', ${id}, ${id}, ${`h${hospital}`}, 1, now(), '{}', '{}', ${bornBefore(world.persons[person]!.majority)}, null::timestamptz, ${labelsOf(record)}::text[], '{}', ${record?.refers ?? []}::text[], ${record?.authors ?? []}::text[], '{}', '{}')`;
    }),
  ];
  await insert(
    tx,
    raw(
      'resource (type, patient_id, id, custodian_id, version, last_updated, modality, body_site, date_from, date_until, labels, parties, refers, authors, tokens, content)',
    ),
    rows,
  );
  await createConsents(tx, world);
  await insert(
    tx,
    raw('cross_reference (patient_id, cluster_id)'),
    patients.filter((p) => p.linked).map((p) => sql`(${p.id}, ${`person${p.person}`})`),
  );
  await insert(
    tx,
    raw('guardianship (related_person_id, patient_id, custodian_id, kind, valid_from, valid_until)'),
    world.guardians.map(
      (g, i) => sql`(${`g${i}`}, ${patientId(g.person, g.hospital)}, ${`h${g.hospital}`}, ${g.kind}, ${validityOf(g.valid)})`,
    ),
  );
  const ids = patients.map((p) => p.id);
  await refreshRegistrations(tx, ids);
  await refreshConsents(tx, ids);
}

/** The birth date of who comes of age so many microseconds from now, in the region's time. */
const bornBefore = (majority: number | null): Sql =>
  majority === null
    ? raw('null::timestamptz')
    : sql`(((now() + ${majority} * interval '1 microsecond') at time zone '+08:00'::interval) - interval '18 years') at time zone '+08:00'::interval`;
async function createConsents(tx: Queryable, world: World): Promise<void> {
  const [instant] = await tx.query<{ now: Date }>(sql`select now() as now`);
  const rows = world.consents.map((c, i) => {
    const { resourceType: type, ...content } = consentResource(c, patientId(c.person, c.hospital), instant!.now);
    return {
      type,
      id: `c${i}`,
      patient_id: patientId(c.person, c.hospital),
      custodian_id: `h${c.hospital}`,
      meta: JSON.stringify(c.herself ? { source: 'https://federation-hub.example/fhir/source/patient' } : {}),
      content: JSON.stringify(content),
    };
  });
  await insert(
    tx,
    raw(
      'resource (type, patient_id, id, custodian_id, version, last_updated, modality, body_site, labels, parties, tokens, meta, content)',
    ),
    rows.map(
      (row) =>
        sql`(${row.type}, ${row.patient_id}, ${row.id}, ${row.custodian_id}, 1, now(), '{}', '{}', '{}', '{}', '{}', ${row.meta}::json, ${row.content}::json)`,
    ),
  );
  const stored = rows.map((row) => ({
    ...row,
    version: 1,
    last_updated: instant!.now,
    deleted: false,
    modality: [],
    body_site: [],
    date_from: null,
    labels: [],
    parties: [],
    meta: null,
  }));
  await recordRules(tx, stored, '+08:00');
}

const labelsOf = (r: RecordOf | undefined): string[] => (r?.labels ?? []).map(({ system, code }) => `${system}|${code}`);

export const seriesOf = ({ modality, bodySite }: RecordOf['series'][number], i: number) => ({
  uid: String(i),
  ...(modality ? { modality: { code: modality } } : {}),
  ...(bodySite ? { bodySite: { code: bodySite } } : {}),
});

function resourceOf(type: string, id: string, r: RecordOf): Sql {
  const started =
    r.sinceBoundary === null
      ? raw('null::timestamptz')
      : sql`now() - interval '720 hours' + ${r.sinceBoundary} * interval '1 millisecond'`;
  const ended = r.lasts === null ? raw('null::timestamptz') : sql`${started} + ${r.lasts} * interval '1 millisecond'`;
  return sql`(${type}, ${patientId(r.person, r.hospital)}, ${id}, ${`h${r.custodian}`}, 1, now(), ${r.modality}::text[], ${r.bodySite}::text[], ${started}, ${ended}, ${labelsOf(r)}::text[], ${r.parties.map((h) => `h${h}`)}::text[], ${r.refers}::text[], ${r.authors}::text[], '{}', ${JSON.stringify({ series: r.series.map(seriesOf) })})`;
}

const limitsOf = (l: Limits): Sql => sql`${l.modality}::text[], ${l.bodySite}::text[], ${l.purpose}::text[], ${l.days}::integer`;
const instant = (micros: number | null, open: string): Sql =>
  micros === null ? sql`${open}::timestamptz` : sql`now() + ${micros} * interval '1 microsecond'`;
const validityOf = ({ from, until }: Validity): Sql => sql`${instant(from, '-infinity')}, ${instant(until, 'infinity')}`;

async function insert(tx: Queryable, into: Sql, rows: readonly Sql[]): Promise<void> {
  if (rows.length > 0) await tx.query(sql`insert into ${into} values ${join(rows, ', ')}`);
}
