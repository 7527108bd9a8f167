import type { Database } from '../../hub/store/database.js';
import { createResources } from '../../hub/store/resources.js';
import { sql } from '../../hub/store/sql.js';

/** A small region with everything that makes counting hard: boundaries of months, repeated retrievals, several modalities, moving members. */
export interface World {
  organizations: { id: string; kind: string; name: string }[];
  members: { consortium: string; hospital: string; from: Date; until: Date }[];
  studies: { id: string; custodian: string; modalities: string[] }[];
  instances: { custodian: string; study: string; series: string; modality: string | null; uid: string; at: Date }[];
  accesses: {
    custodian: string | null;
    recipient: string | null;
    agent: string;
    subtype: string;
    outcome: 0 | 4 | 8;
    purpose: string | null;
    basis: string | null;
    study: string;
    at: Date;
  }[];
}

/** Instants on both sides of each boundary of a month in the region (UTC+8) and in UTC, and a few within. */
const INSTANTS = [
  ...['2025-09', '2025-10', '2025-11'].flatMap((month) => [
    `${month}-01T00:00:00.000+08:00`,
    `${month}-01T00:00:00.000Z`,
    `${month}-15T12:00:00.000Z`,
    `${month}-15T15:59:59.999Z`,
    `${month}-15T16:00:00.000Z`,
  ]),
  '2025-08-31T15:59:59.999Z',
  '2025-11-30T15:59:59.999Z',
  '2025-11-30T16:00:00.000Z',
].map((text) => new Date(text));

export function makeWorld(seedNumber: number): World {
  let state = seedNumber;
  const random = (below: number): number => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * below);
  };
  const one = <T>(values: readonly T[]): T => values[random(values.length)]!;
  const hospitals = ['hospital-a', 'hospital-b', 'hospital-c', 'hospital-d'];
  const world: World = {
    organizations: [
      ...hospitals.slice(0, 3).map((id) => ({ id, kind: 'hospital', name: `医院 ${id}` })), // the fourth is not in the registry any more
      { id: 'north', kind: 'consortium', name: '北部联合体' },
      { id: 'south', kind: 'consortium', name: '南部联合体' },
    ],
    members: [
      { consortium: 'north', hospital: 'hospital-a', from: new Date('2000-01-01'), until: new Date('2100-01-01') },
      { consortium: 'south', hospital: 'hospital-a', from: new Date('2000-01-01'), until: new Date('2025-10-15T12:00:00Z') },
      { consortium: 'north', hospital: 'hospital-b', from: new Date('2025-10-15T12:00:00Z'), until: new Date('2100-01-01') },
    ],
    studies: [],
    instances: [],
    accesses: [],
  };
  for (let s = 0; s < 20; s++) {
    const custodian = one(hospitals);
    const study = `study-${s}`;
    const modalities = one([['CT'], ['MR'], ['CT', 'SR'], []]);
    world.studies.push({ id: study, custodian, modalities });
    for (let r = 0; r < 1 + random(3); r++) {
      const modality = modalities.length > 0 ? one(modalities) : null;
      for (let i = 0; i < 1 + random(4); i++) {
        const series = `1.2.3.${s}.${r}`;
        world.instances.push({ custodian, study, series, modality, uid: `${series}.${i}`, at: one(INSTANTS) });
      }
    }
  }
  for (let a = 0; a < 400; a++) {
    const study = one(world.studies);
    world.accesses.push({
      custodian: one([study.custodian, study.custodian, study.custodian, null]),
      recipient: one([...hospitals, null]),
      agent: one(['Practitioner/wang', 'Practitioner/li']),
      subtype: one(['retrieve', 'retrieve', 'read', 'search-type']),
      outcome: one([0, 0, 0, 4, 8] as const),
      purpose: one(['TREAT', 'ETREAT', null]),
      basis: one(['agreement', 'consortium', null]),
      study: study.id,
      at: one(INSTANTS),
    });
  }
  return world;
}

export async function seed(db: Database, world: World): Promise<void> {
  await db.transaction(async (tx) => {
    for (const o of world.organizations)
      await tx.query(sql`insert into organization (id, kind, name) values (${o.id}, ${o.kind}, ${o.name})`);
    for (const [i, m] of world.members.entries()) {
      await tx.query(sql`insert into consortium_member (affiliation_id, consortium_id, organization_id, valid_from, valid_until)
        values (${String(i)}, ${m.consortium}, ${m.hospital}, ${m.from}, ${m.until})`);
    }
    await createResources(
      tx,
      world.studies.map((s) => ({
        custodianId: s.custodian,
        resource: {
          resourceType: 'ImagingStudy',
          id: s.id,
          status: 'available',
          subject: { reference: `Patient/patient-${s.id}` },
          modality: s.modalities.map((code) => ({ system: 'http://dicom.nema.org/resources/ontology/DCM', code })),
        },
      })),
    );
    for (const i of world.instances) {
      await tx.query(sql`insert into imaging_series (custodian_id, study_instance_uid, series_instance_uid, modality)
        values (${i.custodian}, ${i.study}, ${i.series}, ${i.modality}) on conflict do nothing`);
      await tx.query(sql`insert into imaging_instance (custodian_id, sop_instance_uid, study_instance_uid, series_instance_uid, sop_class_uid, first_seen)
        values (${i.custodian}, ${i.uid}, ${i.study}, ${i.series}, '1.2.840', ${i.at})`);
    }
    for (const [i, reason, finding] of [
      [1, 'unconscious', 'justified'],
      [2, 'unconscious', 'not-justified'],
      [3, 'other', null],
    ] as const) {
      const [by, at] = finding ? ['Account/auditor', '2025-10-03'] : [null, null];
      await tx.query(sql`insert into exceptional_access (id, kind, agent, agent_name, organization_id, reason, statement, opened_at, valid_from, valid_until, review_due, finding, reviewed_by, reviewed_at)
        values (${`x${i}`}, 'break-glass', 'Practitioner/wang', '', 'hospital-a', ${reason}, 'query', '2025-09-30T16:00:00Z', '2025-09-30T16:00:00Z', '2025-10-01', '2025-10-04', ${finding}, ${by}, ${at})`);
    }
    for (const a of world.accesses) {
      await tx.query(sql`insert into audit_event (recorded, type, subtype, action, outcome, agent, organization_id, purpose, patient_id, entity, custodian_id, basis, request_id)
        values (${a.at}, 'rest', ${a.subtype}, 'R', ${a.outcome}, ${a.agent}, ${a.recipient}, ${a.purpose}, ${`patient-${a.study}`},
          ${[`ImagingStudy/${a.study}`, 'Task/1']}, ${a.custodian}, ${a.basis}, 'r')`);
    }
  });
}
