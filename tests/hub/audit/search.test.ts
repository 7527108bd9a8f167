import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { validateResource } from '../../../fhir-profiles/index.js';
import type { Caller } from '../../../hub/access/caller.js';
import { toAuditEvent } from '../../../hub/audit/audit-event.js';
import { auditView, everything, mayReadQuery } from '../../../hub/audit/audit-filter.js';
import { type AuditWriter, openAudit } from '../../../hub/audit/record.js';
import { type AuditRow, auditEventId, parseAuditEventId } from '../../../hub/audit/rows.js';
import { readAuditEvent, searchAuditEvents } from '../../../hub/audit/search.js';
import { parseAuditSearch } from '../../../hub/audit/search-parameters.js';
import type { AuditEntry } from '../../../hub/audit/vocabulary.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';

const caller = (over: Partial<Caller>): Caller => ({
  id: 'Account/x',
  kind: 'person',
  name: 'x',
  organizationId: '',
  role: 'physician',
  purposeOfUse: 'TREAT',
  clientId: 'console',
  scope: '',
  authenticatedAt: 0,
  ...over,
});
const auditor = caller({ role: 'auditor', purposeOfUse: 'HCOMPL', organizationId: 'commission' });
const patient = caller({ role: 'patient', purposeOfUse: 'PATRQT', patientId: 'p-1' });
const administrator = caller({ role: 'hospital-administrator', purposeOfUse: 'HOPERAT', organizationId: 'a' });

const TYPES: AuditEntry['type'][] = [
  'rest',
  'authentication',
  'query',
  'export',
  'policy',
  'scoring',
  'referral',
  'ingest',
  'identity',
  'access',
];
const pick = <T>(values: readonly T[], i: number): T => values[i % values.length]!;
/** Every combination that matters, as if by accident: the numbers have no common factor. */
const written: AuditEntry[] = Array.from({ length: 120 }, (_, i) => ({
  type: pick(TYPES, i),
  subtype: pick(['read', 'search-type', 'retrieve', 'create', 'accept', 'update', 'login'], i),
  action: pick(['R', 'E', 'C', 'U', 'D'] as const, i),
  outcome: pick([0, 4, 0, 8] as const, i),
  agent: pick(['Practitioner/wang', 'Client/pacs', 'Patient/p-1', 'Device/hub', 'Account/officer'], i),
  agentName: pick(['王医生', undefined], i),
  organizationId: pick(['a', 'b', undefined], i),
  role: pick(['physician', 'hospital-system', 'patient', undefined], i),
  purpose: pick(['TREAT', 'PATRQT', undefined], i),
  clientId: pick(['console', undefined], i),
  patientId: pick(['p-1', 'p-2', undefined, 'p-3', 'p-1-at-b'], i),
  entity: pick([['ImagingStudy/s-1'], [], ['ImagingStudy/s-2', 'Task/t-1'], ['1.2.840.1']], i),
  custodianId: pick(['b', 'a', 'c', undefined], i),
  query: pick([undefined, 'ImagingStudy?patient=p-1,p-9'], i),
  basis: pick(['own', undefined, 'agreement'], i),
  rule: pick(['rule-1', undefined], i),
  evidence: pick(
    [
      undefined,
      [
        { kind: 'agreement', id: 'a-1' },
        { kind: 'consent', id: 'c-1', version: 2, provision: '1.2' },
      ],
    ],
    i,
  ),
  detail: pick(['no-basis', undefined, undefined], i),
  requestId: `r-${i}`,
  address: pick(['192.0.2.1', undefined, '2001:db8::1'], i),
}));

describe('the audit, read', () => {
  let database: TestDatabase;
  let audit: AuditWriter;
  let rows: AuditRow[];
  beforeAll(async () => {
    database = await testDatabase();
    audit = await openAudit(database.db, database.url);
    for (let i = 0; i < written.length; i += 7) await audit.commit(written.slice(i, i + 7));
    rows = (await searchAuditEvents(database.db, everything, { count: 1000 })).rows;
  });
  afterAll(async () => {
    await audit.close();
    await database.close();
  });

  const options = { strict: true, maxPage: 1000, utcOffset: '+08:00' };
  const find = async (query: string, who = auditor, ids: string[] = []): Promise<string[]> => {
    const { criteria } = parseAuditSearch([...new URLSearchParams(query)], options);
    const found = await searchAuditEvents(database.db, auditView(who, ids), { ...criteria, count: 1000 });
    return found.rows.map((r) => r.request_id).sort();
  };
  const expected = (test: (entry: AuditEntry) => boolean): string[] => {
    const ids = written
      .filter(test)
      .map((e) => e.requestId)
      .sort();
    expect(ids.length).toBeGreaterThan(0);
    return ids;
  };

  it('comes whole, newest first', () => {
    expect(rows.map((r) => r.request_id)).toEqual(written.map((e) => e.requestId).reverse());
  });

  it.each<[string, (e: AuditEntry) => boolean]>([
    ['patient=Patient/p-1', (e) => e.patientId === 'p-1'],
    ['patient=p-1,p-2', (e) => ['p-1', 'p-2'].includes(e.patientId ?? '')],
    ['agent=Practitioner/wang', (e) => e.agent === 'Practitioner/wang'],
    ['agent=wang', (e) => e.agent === 'Practitioner/wang'],
    ['agent=Organization/a', (e) => e.organizationId === 'a'],
    ['agent=Organization/a,Client/pacs', (e) => e.organizationId === 'a' || e.agent === 'Client/pacs'],
    ['outcome=4,8', (e) => e.outcome !== 0],
    ['action=R&outcome=0', (e) => e.action === 'R' && e.outcome === 0],
    ['type=referral', (e) => e.type === 'referral'],
    ['subtype=http://hl7.org/fhir/restful-interaction|read', (e) => e.subtype === 'read'],
    ['entity=ImagingStudy/s-2', (e) => e.entity?.includes('ImagingStudy/s-2') ?? false],
    ['patient=p-1&agent=Practitioner/wang', (e) => e.patientId === 'p-1' && e.agent === 'Practitioner/wang'],
    ['outcome=0,4&outcome=4,8', (e) => e.outcome === 4],
  ])('is found by %s', async (query, test) => {
    expect(await find(query)).toEqual(expected(test));
  });

  it('is found by date, with prefixes and at the boundary of an instant', async () => {
    const middle = rows[60]!;
    const at = new Date(Math.floor(middle.micros / 1000)).toISOString();
    const inside = (test: (ms: number) => boolean) =>
      rows
        .filter((r) => test(Math.floor(r.micros / 1000)))
        .map((r) => r.request_id)
        .sort();
    const ms = Math.floor(middle.micros / 1000);
    expect(await find(`date=${at}`)).toEqual(inside((t) => t === ms));
    expect(await find(`date=ge${at}`)).toEqual(inside((t) => t >= ms));
    expect(await find(`date=gt${at}`)).toEqual(inside((t) => t > ms));
    expect(await find(`date=lt${at}`)).toEqual(inside((t) => t < ms));
    expect(await find(`date=le${at}`)).toEqual(inside((t) => t <= ms));
    expect(await find(`date=ne${at}`)).toEqual(inside((t) => t !== ms));
    expect(await find(`date=ge2020&date=lt2021`)).toEqual([]);
    expect(await find(`date=lt2021,ge2022`)).toHaveLength(written.length);
  });

  it.each([
    'outcome=5',
    'action=X',
    'date=yesterday',
    'date=2024-02-30',
    'date=ap2024',
    'colour=red',
    '_count=0',
    '_sort=agent',
    `patient=${'x'.repeat(3000)}`,
    'entity=%00',
  ])('refuses %.40s', (query) => {
    expect(() => parseAuditSearch([...new URLSearchParams(query)], options)).toThrow(expect.objectContaining({ status: 400 }));
  });

  it('reports an unknown parameter in lenient handling', () => {
    expect(parseAuditSearch([['colour', 'red']], { ...options, strict: false }).ignored).toEqual(['colour']);
  });

  it('is paged without a gap or a repetition, also inside one instant', async () => {
    const seen: string[] = [];
    let after: Awaited<ReturnType<typeof searchAuditEvents>>['next'];
    do {
      const page = await searchAuditEvents(database.db, auditView(auditor, []), { count: 7, after });
      seen.push(...page.rows.map((r) => r.request_id));
      after = page.next;
    } while (after);
    expect(seen).toEqual(rows.map((r) => r.request_id));
  });

  it('is read by an auditor whole, by a patient and by an administrator as far as it concerns them, by nobody else', async () => {
    expect(await find('', auditor)).toHaveLength(written.length);
    expect(await find('', patient, ['p-1', 'p-1-at-b'])).toEqual(
      expected((e) => ['p-1', 'p-1-at-b'].includes(e.patientId ?? '')),
    );
    expect(await find('', administrator)).toEqual(expected((e) => e.custodianId === 'a' || e.organizationId === 'a'));
    const strangers = [
      caller({}),
      caller({ role: 'commission-officer', purposeOfUse: 'PUBHLTH' }),
      caller({ role: 'auditor', purposeOfUse: 'TREAT' }),
      caller({ role: 'patient', purposeOfUse: 'TREAT' }),
      caller({ role: 'hospital-administrator', purposeOfUse: 'HOPERAT', organizationId: '' }),
      caller({ role: 'hub-administrator', purposeOfUse: 'HOPERAT', organizationId: 'a' }),
    ];
    for (const stranger of strangers) expect(await find('', stranger, ['p-1', ''])).toEqual([]);
    expect(await find('', patient, [''])).toEqual([]);
    expect(await find('', patient, [])).toEqual([]);
  });

  it('is read one by one by id, under the same policy', async () => {
    for (const row of rows.slice(0, 20)) {
      const at = parseAuditEventId(auditEventId(row))!;
      expect((await readAuditEvent(database.db, auditView(auditor, []), at))?.request_id).toBe(row.request_id);
      const own = await readAuditEvent(database.db, auditView(patient, ['p-1']), at);
      expect(own !== undefined).toBe(row.patient_id === 'p-1');
    }
    for (const text of ['', 'x', '1-', '-1', '1-2-3', "1-2'", '99999999999999999-1'])
      expect(parseAuditEventId(text)).toBeUndefined();
    expect(await readAuditEvent(database.db, everything, { micros: 1, id: 1 })).toBeUndefined();
  });

  it('is valid FHIR, whatever an entry holds', () => {
    for (const row of rows) {
      const event = toAuditEvent(row, { fhirBase: 'https://hub.example.org/fhir', showQuery: true });
      expect(validateResource(event)).toEqual([]);
    }
  });

  it('says who, what, which patient, why, by which rule and in which request', () => {
    const row = {
      ...rows[0]!,
      type: 'rest',
      subtype: 'search-type',
      action: 'E',
      outcome: 0,
      agent: 'Practitioner/wang',
      agent_name: '王医生',
      query: 'ImagingStudy?patient=p-1,p-9',
      rule: 'rule-1',
      basis: 'agreement',
      evidence: [{ kind: 'consent', id: 'c-1', version: 2, provision: '1.2' }],
      patient_id: 'p-1',
      purpose: 'TREAT',
      organization_id: 'a',
    };
    const event = toAuditEvent(row, { fhirBase: 'https://hub.example.org/fhir', showQuery: true });
    const user = event.agent?.find((a) => a.requestor);
    expect(user?.who?.reference).toBe('Practitioner/wang');
    expect(event.entity?.map((e) => e.what?.reference)).toContain(`Patient/${row.patient_id}`);
    expect(event.entity?.map((e) => e.what?.identifier?.value)).toContain(row.request_id);
    const details = event.entity?.flatMap((e) => e.detail ?? []).map((d) => d.valueString);
    expect(details).toEqual(expect.arrayContaining(['rule-1', 'consent c-1 2 1.2']));
    const query = event.entity?.find((e) => e.query)?.query;
    expect(Buffer.from(query ?? '', 'base64').toString()).toBe('ImagingStudy?patient=p-1,p-9');
  });

  it('shows a retrieval by another organization as a disclosure, one by the custodian as a read, one that was refused as neither', () => {
    const row = {
      ...rows[0]!,
      type: 'rest',
      subtype: 'retrieve',
      action: 'R',
      outcome: 0,
      patient_id: 'p-1',
      address: '192.0.2.1',
    };
    const projected = (more: Partial<AuditRow>) => {
      const event = toAuditEvent({ ...row, ...more }, { fhirBase: 'https://hub.example.org/fhir', showQuery: false });
      return [event.type?.code, event.subtype?.map((s) => s.code)];
    };
    const entity = ['ImagingStudy/s-1'];
    expect(projected({ entity, custodian_id: 'a', organization_id: 'b' })).toEqual(['110106', ['disclose', 'retrieve', 'rest']]);
    expect(projected({ entity, custodian_id: 'a', organization_id: 'a' })).toEqual(['rest', ['retrieve', 'rest']]);
    expect(projected({ entity, custodian_id: 'a', organization_id: '' })).toEqual(['rest', ['retrieve', 'rest']]);
    expect(projected({ entity, custodian_id: 'a', organization_id: 'b', outcome: 4, evidence: null })).toEqual([
      'rest',
      ['retrieve', 'rest'],
    ]);
    expect(projected({ entity: ['AuditEvent/1-1'], custodian_id: 'a', organization_id: 'b' })[0]).toBe('rest');
  });

  it('keeps a typed search, which may name others, from all but the auditor and the asking organization', () => {
    const asked = { organization_id: 'b' };
    expect(
      [auditor, patient, administrator, caller({ role: 'hospital-administrator', organizationId: 'b' })].map((c) =>
        mayReadQuery(c, asked),
      ),
    ).toEqual([true, false, false, true]);
    const row = rows.find((r) => r.query)!;
    for (const subtype of ['search-type', 'read']) {
      const event = toAuditEvent({ ...row, subtype }, { fhirBase: 'https://h.example/fhir', showQuery: false });
      const queries = event.entity?.flatMap((e) => (e.query ? [Buffer.from(e.query, 'base64').toString()] : []));
      expect([JSON.stringify(event), queries].join()).not.toContain('p-9');
    }
  });
});
