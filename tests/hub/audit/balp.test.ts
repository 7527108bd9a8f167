import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { AuditEvent } from '@medplum/fhirtypes';
import { validateResource } from '../../../fhir-profiles/index.js';
import { systems } from '../../../fhir-profiles/codes.js';
import { describeWithRealData } from '../../support/real-data.js';
import { type Client, kindOfTask, made, openWorld, organization, type World } from '../security/world.js';
import { ADDED, EXAMPLES, type Event } from './balp-differences.js';
import { compared } from './balp-facts.js';

const reference = (r: { resourceType: string; id?: string }) => ({ reference: `${r.resourceType}/${r.id}` });

describeWithRealData('an AuditEvent of the hub beside the examples of IHE BALP', (folder) => {
  const examples = join(folder, 'fhir/ihe-balp');
  const events: Partial<Record<Event, AuditEvent>> = {};
  let world: World;
  let auditor: Client;
  beforeAll(async () => {
    world = await openWorld();
    auditor = await world.person('auditor');
    for (const [name, act] of Object.entries(acts)) events[name as Event] = await eventOf(act);
  });
  afterAll(() => world.hub.stop());

  /** The newest event that the act left. */
  async function eventOf(act: () => Promise<unknown>): Promise<AuditEvent> {
    await act();
    const { body } = await auditor.get('/fhir/AuditEvent?_count=20');
    const entries = (body.entry ?? []).map((e: { resource: AuditEvent }) => e.resource) as AuditEvent[];
    const event = entries.find((e) => !JSON.stringify(e.agent).includes('Account/') && !isTokenOfActor(e));
    if (!event) throw new Error('no event');
    return event;
  }
  let wantsToken = false;
  const isTokenOfActor = (e: AuditEvent): boolean => !wantsToken && e.type?.code === '110114';

  const observation = (more: object = {}) => ({
    resourceType: 'Observation',
    status: 'final',
    code: { text: 'finding' },
    subject: reference(world.patientOfA),
    ...more,
  });
  const report = () => ({
    resourceType: 'DiagnosticReport',
    status: 'final',
    code: { text: 'report' },
    subject: reference(world.patientOfA),
    imagingStudy: [reference(world.studyOfA)],
  });
  const physician = (hospital: string) => world.person(`physician-${hospital}`);
  /** What is done by the front door; the order matters, each leaves its event last. */
  const acts: Record<Event, () => Promise<unknown>> = {
    'read of an own record': async () => (await physician('a')).get(`/fhir/ImagingStudy/${world.studyOfA.id}`),
    'version read of an own record': async () => (await physician('a')).get(`/fhir/ImagingStudy/${world.studyOfA.id}/_history/1`),
    'history of an own record': async () => (await physician('a')).get(`/fhir/ImagingStudy/${world.studyOfA.id}/_history`),
    'read without a patient': async () => (await physician('a')).get('/fhir/Organization/a'),
    'read by a system': () => world.systems.a.get(`/fhir/ImagingStudy/${world.studyOfA.id}`),
    'read at another organization': async () => (await physician('b')).get(`/fhir/ImagingStudy/${world.studyOfA.id}`),
    'report read at another organization': async () =>
      (await physician('b')).get(`/fhir/DiagnosticReport/${made(await world.systems.a.post(report())).id}`),
    'search without a patient': async () => (await physician('a')).get('/fhir/Organization?_id=a'),
    'search posted': async () =>
      (await physician('a')).post({}, `/fhir/ImagingStudy/_search?patient=${world.otherOfA.id}`, {
        'content-type': 'application/x-www-form-urlencoded',
      }),
    'create by a person': async () => (await physician('a')).post(observation()),
    'create by a system': () => world.systems.a.post(observation()),
    'create of a report': () => world.systems.a.post(report()),
    'update by a person': async () => {
      const own = await physician('a');
      const { body } = await own.post(observation());
      return own.put({ ...body, status: 'amended' });
    },
    'update of a job': async () => {
      const own = await physician('d');
      const task = made(
        await own.post({
          resourceType: 'Task',
          status: 'requested',
          intent: 'order',
          code: kindOfTask('release-request'),
          focus: reference(world.studyOfA),
          for: reference(world.patientOfD),
          requester: organization('d'),
        }),
      );
      const answer = await own.put({
        ...task,
        businessStatus: { coding: [{ system: systems.businessStatus, code: 'cancelled' }] },
      });
      if (answer.status !== 200) throw new Error(answer.text);
    },
    'update without a patient': async () => {
      const keeper = await world.hub.system('commission', 'hub-administrator');
      const answer = await world.hub
        .http()
        .put('/fhir/Practitioner/w')
        .set({ authorization: `Bearer ${keeper}`, 'content-type': 'application/fhir+json' })
        .send(JSON.stringify({ resourceType: 'Practitioner', id: 'w', name: [{ text: 'w' }] }));
      const again = await world.hub
        .http()
        .put('/fhir/Practitioner/w')
        .set({ authorization: `Bearer ${keeper}`, 'content-type': 'application/fhir+json' })
        .send(JSON.stringify({ resourceType: 'Practitioner', id: 'w', name: [{ text: 'v' }] }));
      if (answer.status !== 201 || again.status !== 200) throw new Error(`${answer.text} ${again.text}`);
    },
    'read that a consent stops': async () => {
      const herself = await world.person('patient-1');
      made(await herself.post(optOut()));
      const answer = await (await physician('b')).get(`/fhir/ImagingStudy/${world.studyOfA.id}`);
      if (answer.status !== 403) throw new Error(`not stopped: ${answer.status}`);
    },
    'token issued': async () => {
      wantsToken = true;
      await physician('a');
    },
  };
  const optOut = () => ({
    resourceType: 'Consent',
    status: 'active',
    scope: { coding: [{ system: systems.consentScope, code: 'patient-privacy' }] },
    category: [{ coding: [{ system: 'http://loinc.org', code: '59284-0' }] }],
    patient: reference(world.patientOfA),
    dateTime: '2026-01-01',
    policyRule: { coding: [{ system: systems.actCode, code: 'OPTOUT' }] },
  });

  const used = new Set<string>();
  it('has an answer to each of them', () => {
    const files = readdirSync(examples).filter((name) => name.endsWith('.json'));
    expect(files.sort()).toEqual(
      Object.keys(EXAMPLES)
        .map((name) => `AuditEvent-ex-audit${name}.json`)
        .sort(),
    );
    expect(files).toHaveLength(23);
  });

  it.each(Object.entries(EXAMPLES))('%s', (name, { event, differs, not }) => {
    if (event === undefined) {
      expect(not).toMatch(/\w/);
      return;
    }
    const example = JSON.parse(readFileSync(join(examples, `AuditEvent-ex-audit${name}.json`), 'utf8'));
    const { missing, added } = compared(example, events[event]!);
    expect(missing).toEqual(Object.keys(differs ?? {}).sort());
    const unexplained = added.filter((fact) => {
      const rule = Object.keys(ADDED).find((start) => fact.startsWith(start));
      if (rule) used.add(rule);
      return rule === undefined;
    });
    expect(unexplained).toEqual([]);
  });

  it('adds nothing that is no longer added', () => {
    expect([...used].sort()).toEqual(Object.keys(ADDED).sort());
  });

  it('is found by what it is, also where a consent stopped it', async () => {
    const count = async (query: string) =>
      (await auditor.get(`/fhir/AuditEvent?agent=Practitioner/physician-b&${query}`)).body.entry?.length ?? 0;
    const patient = `/fhir/ImagingStudy?patient=${world.patientOfB.id}`;
    const { body } = await (await physician('b')).get(patient);
    expect(JSON.stringify(body)).toContain('suppressed');
    // the read and the search that the consent stopped, the read and the report before it
    expect(await count('subtype=AuthZ-Consent')).toBe(2);
    expect(await count('subtype=AuthZ-Consent&action=E')).toBe(2);
    expect(await count('subtype=AuthZ-Consent&action=R')).toBe(0);
    expect(await count('subtype=read&outcome=4')).toBe(1);
    expect(await count('subtype=disclose')).toBe(2);
  });

  it('is valid FHIR', () => {
    for (const event of Object.values(events)) expect(validateResource(event)).toEqual([]);
  });

  it('names the profile that it follows', () => {
    const profile = (name: Event) => events[name]?.meta?.profile?.[0]?.replace(/.*IHE\.BasicAudit\./, '');
    expect(profile('read of an own record')).toBe('PatientRead');
    expect(profile('version read of an own record')).toBe('PatientRead');
    expect(profile('read at another organization')).toBe('PrivacyDisclosure.Source');
    expect(profile('read that a consent stops')).toBe('AuthZconsent');
    expect(profile('search posted')).toBe('PatientQuery');
    expect(profile('search without a patient')).toBe('Query');
    expect(profile('update of a job')).toBe('PatientUpdate');
    expect(profile('token issued')).toBeUndefined();
  });
});
