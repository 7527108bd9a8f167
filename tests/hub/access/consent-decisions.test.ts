import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Purpose } from '../../../hub/access/caller.js';
import { conditionsFor, consentCaller, type PolicySettings } from '../../../hub/access/policy/conditions.js';
import { consentSays } from '../../../hub/access/policy/consent-terms.js';
import { recordRules } from '../../../hub/access/consent/consents.js';
import { readCallerFacts } from '../../../hub/access/policy/caller-facts.sql.js';
import { rowEvidence, seenOf } from '../../../hub/access/policy/row-evidence.sql.js';
import type { RowWithEvidence } from '../../../hub/access/decision.js';
import { columns, createResources } from '../../../hub/store/resources.js';
import type { FhirResource } from '../../../hub/store/search-keys.js';
import { sql } from '../../../hub/store/sql.js';
import { describeWithRealData } from '../../support/real-data.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';

type Row = Record<'example' | 'asker' | 'purpose' | 'record' | 'region' | 'says' | 'access' | 'why', string>;

const DOCUMENT = 'docs/consent-decision-table.md';
const rows: Row[] = (() => {
  const lines = readFileSync(DOCUMENT, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
  const [names = [], , ...cells] = lines;
  return cells.map((values) => Object.fromEntries(names.map((name, i) => [name, values[i] ?? ''])) as Row);
})();

/** Settings as the table says them. */
const REGIONS: Readonly<Record<string, Partial<PolicySettings>>> = {
  '': {},
  'TREAT needs a permit': { consentRequiredFor: ['HRESCH', 'TREAT'] },
  'Group/ex-privilegedUsers may break the glass': { breakGlassGroups: ['Group/ex-privilegedUsers'] },
  'break-glass opens R': { breakGlassOpensRestricted: true },
  'every denial stops break-glass': { breakGlassStoppedBy: ['*'] },
};

const PATIENT = 'jack';
const label = (code: string) => ({
  system: `http://terminology.hl7.org/CodeSystem/v3-${['R', 'V'].includes(code) ? 'Confidentiality' : 'ActCode'}`,
  code,
});

/** A record as the table says it: `study R PSY`, `report by X`, `study of X`, `Type/id`. */
function recordOf(text: string): { resource: FhirResource; custodianId: string } {
  const [kind = '', link, ...more] = text.split(' ');
  const target = link === 'by' || link === 'of' ? more[0] : undefined;
  const [type, id] = kind.includes('/') ? kind.split('/') : [kind === 'report' ? 'DiagnosticReport' : 'ImagingStudy'];
  const labels = target || !link ? [] : [link, ...more].map(label);
  const reference = { reference: target };
  return {
    custodianId: target === 'f001' ? 'f001' : 'holder',
    resource: {
      resourceType: type!,
      ...(id ? { id } : {}),
      subject: { reference: `Patient/${PATIENT}` },
      ...(labels.length > 0 ? { meta: { security: labels } } : {}),
      ...(link === 'by' ? { performer: [reference] } : {}),
      ...(target?.startsWith('Encounter/') ? { encounter: reference } : {}),
      ...(target?.startsWith('ServiceRequest/') ? { basedOn: [reference] } : {}),
    },
  };
}

describeWithRealData('the decision table of consents', (folder) => {
  const example = (name: string): FhirResource => {
    const [from, id] = name.split('/');
    return JSON.parse(readFileSync(`${folder}/fhir/${from}/Consent-${id}.json`, 'utf8')) as FhirResource;
  };
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase();
    for (const id of ['holder', 'other', 'f001', 'ex-org-researcher'])
      await database.db.query(sql`insert into organization (id, kind, name) values (${id}, 'hospital', ${id})`);
    await createResources(database.db, [{ resource: { resourceType: 'Patient', id: PATIENT }, custodianId: 'holder' }]);
  });
  afterAll(() => database.close());

  it('has rows for every example that there is', () => {
    const examples = readdirSync(`${folder}/fhir`).flatMap((from) =>
      readdirSync(`${folder}/fhir/${from}`).flatMap((file) => {
        const id = /^Consent-(.+)\.json$/.exec(file)?.[1];
        return id ? [`${from}/${id}`] : [];
      }),
    );
    expect(examples.length).toBeGreaterThanOrEqual(18);
    expect([...new Set(rows.map((row) => row.example))].sort()).toEqual(examples.sort());
  });

  it.each(
    rows.map((row) => [`${row.example}: ${row.asker}, ${row.purpose}, ${row.record}, ${row.region || 'defaults'}`, row] as const),
  )('%s', async (_name, row) => {
    expect(await answerOf(row)).toEqual({ sql: [row.says, row.access], casbin: [row.says, row.access] });
  });

  /** What consents say, and whether one of the mandatory denials that rest on them or on labels holds: by each form of the policy. */
  async function answerOf(row: Row): Promise<Record<'sql' | 'casbin', [string, string]>> {
    const region = REGIONS[row.region];
    if (!region) throw new Error(`the table has a region that the test does not know: ${row.region}`);
    const settings: PolicySettings = { consentRequiredFor: ['HRESCH'], ...region };
    const [kind, id = ''] = row.asker.split('/');
    const caller = {
      id: 'Account/x',
      kind: 'person' as const,
      name: 'x',
      organizationId: kind === 'Organization' ? id : 'other',
      practitionerId: kind === 'Practitioner' ? id : 'somebody',
      role: 'physician' as const,
      purposeOfUse: row.purpose as Purpose,
      clientId: 'tests',
      scope: '',
      authenticatedAt: 0,
    };
    return database.db.transaction(async (tx) => {
      await tx.query(sql`delete from consent_rule`);
      await tx.query(sql`delete from resource where type <> 'Patient'`);
      const consent = { ...example(row.example), patient: { reference: `Patient/${PATIENT}` } };
      await recordRules(tx, await createResources(tx, [{ resource: consent, custodianId: 'holder' }]), '+08:00');
      const [record] = await createResources(tx, [recordOf(row.record)]);
      const terms = conditionsFor(
        caller,
        await readCallerFacts(tx, caller, { utcOffset: '+08:00', ageOfMajority: 18 }),
        settings,
      );
      const asker = consentCaller(caller, settings);
      const conditions = {
        deny: consentSays('deny', asker),
        permit: consentSays('permit', asker),
        consent: terms.consent,
        label: terms.label,
        optIn: terms['opt-in'],
      };
      const { deny, permit, label: closed, optIn } = conditions;
      const [seen] = await tx.query<RowWithEvidence & Record<keyof typeof conditions, boolean>>(sql`
        select ${columns}, ${rowEvidence(caller.organizationId)}, ${deny.sql} as deny, ${permit.sql} as permit, ${conditions.consent.sql} as consent,
          ${closed.sql} as label, ${optIn.sql} as "optIn" from resource r where r.type = ${record!.type} and r.id = ${record!.id}`);
      const bySql = seen!;
      const holds = (name: keyof typeof conditions): boolean => conditions[name].test(seenOf(bySql)) !== undefined;
      return { sql: worded((name) => bySql[name]), casbin: worded(holds) };
    });
  }

  const worded = (holds: (name: 'deny' | 'permit' | 'consent' | 'label' | 'optIn') => boolean): [string, string] => [
    holds('deny') ? 'deny' : holds('permit') ? 'permit' : 'nothing',
    holds('consent') || holds('label') || holds('optIn') ? 'closed' : 'open',
  ];
});
