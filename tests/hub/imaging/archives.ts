/** Hospitals whose archives are folders of phantoms, indexed, behind the real WADO-RS face, policy and audit. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Connector, StudyDescription } from '../../../connectors/connector.js';
import { createFolderConnector } from '../../../connectors/folder/folder-connector.js';
import { systems } from '../../../fhir-profiles/codes.js';
import { registerWadoRs } from '../../../hub/dicomweb/wado-rs.js';
import { createPixelRoom } from '../../../hub/imaging/pixels/pixel-room.js';
import { createResources, newId } from '../../../hub/store/resources.js';
import { sql } from '../../../hub/store/sql.js';
import type { PhantomTransferSyntax } from '../../../models/phantoms/encode-frame.js';
import { writeChestCt } from '../../../models/phantoms/chest-ct.js';
import { serverForCallers } from '../api/stand-in.js';
import { type Hospital, openHospitals } from '../identity/hospitals.js';

export const STUDY = '1.2.826.0.1.3680043.10.1451.88';

export async function openArchives(maxStreams = 4) {
  const world = await openHospitals();
  const folder = await mkdtemp(join(tmpdir(), 'archives-'));
  const connectors = new Map<string, Connector>();
  const server = serverForCallers();
  const room = createPixelRoom({ processes: 2, memoryBytes: 2 ** 30, timeoutMs: 20_000 });
  const config = { maxStreams, trustedProxy: false, publicUrl: 'http://hub.test' };
  registerWadoRs(server, { ...world, config, room, connectorFor: (id) => connectors.get(id) });
  await server.initialize();
  return {
    ...world,
    server,
    connectors,
    folder,
    /** Writes a small study of two series into an archive of the hospital and indexes it. @returns the FHIR ids. */
    archive: async (
      hospital: Hospital,
      uid: string,
      patientId = 'P-1',
      { slices, rows, transferSyntax }: { slices: number; rows: number; transferSyntax?: PhantomTransferSyntax } = {
        slices: 3,
        rows: 16,
      },
    ) => {
      const root = join(folder, hospital, uid);
      const study = { uid, started: '2025-03-04T10:00' };
      await writeChestCt({
        folder: root,
        patient: { id: patientId, name: 'Wang^XiaoDong' },
        study,
        slices,
        rows,
        transferSyntax,
        nodules: 0,
        localizer: true,
      });
      const connector = createFolderConnector({ root, defaultUtcOffset: '+08:00', clockSkewMs: 0 });
      connectors.set(uid, connector);
      const described = await describe(connector);
      return index(world, hospital, described, uid);
    },
    index: (hospital: Hospital, study: StudyDescription, connectorId: string | null) =>
      index(world, hospital, study, connectorId),
    close: async () => {
      room.close();
      await server.stop();
      await world.end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export type Archives = Awaited<ReturnType<typeof openArchives>>;

/** All that the archive says of its one study. */
async function describe(connector: Connector): Promise<StudyDescription> {
  let study: StudyDescription | undefined;
  for await (const change of connector.changes(undefined, new AbortController().signal)) {
    if (change.kind !== 'study') continue;
    study = study ? { ...study, series: merged([...study.series, ...change.study.series]) } : change.study;
  }
  if (!study) throw new Error('the archive is empty');
  return study;
}

function merged(all: StudyDescription['series']): StudyDescription['series'] {
  const byUid = new Map<string, StudyDescription['series'][number]>();
  for (const series of all) {
    const known = byUid.get(series.seriesInstanceUid);
    byUid.set(series.seriesInstanceUid, known ? { ...known, instances: [...known.instances, ...series.instances] } : series);
  }
  return [...byUid.values()];
}

async function index(
  world: Awaited<ReturnType<typeof openHospitals>>,
  hospital: Hospital,
  study: StudyDescription,
  connectorId: string | null,
) {
  const uid = study.studyInstanceUid;
  const result = await world.image(hospital, study.patient, uid);
  if (!('patientId' in result)) throw new Error(result.conflict);
  const coding = { system: systems.dicomTerminology, code: 'CT' };
  const resource = {
    resourceType: 'ImagingStudy',
    id: newId(),
    status: 'available',
    identifier: [{ system: systems.dicomUid, value: `urn:oid:${uid}` }],
    modality: [coding],
    subject: { reference: `Patient/${result.patientId}` },
    started: '2025-03-04T10:00:00+08:00',
    series: study.series.map((s) => ({ uid: s.seriesInstanceUid, modality: coding })),
  };
  await createResources(world.db, [{ resource, custodianId: hospital }]);
  await world.db.query(
    sql`insert into study_claim (custodian_id, study_instance_uid, patient_id, study_id) values (${hospital}, ${uid}, ${result.patientId}, ${resource.id})`,
  );
  for (const s of study.series) {
    await world.db.query(sql`
      insert into imaging_series (custodian_id, study_instance_uid, series_instance_uid, modality, number) values (${hospital}, ${uid}, ${s.seriesInstanceUid}, 'CT', ${s.number ?? null})`);
    for (const i of s.instances)
      await world.db.query(sql`
        insert into imaging_instance (custodian_id, sop_instance_uid, study_instance_uid, series_instance_uid, sop_class_uid, transfer_syntax_uid, number, frames, digest, connector_id, locator)
        values (${hospital}, ${i.sopInstanceUid}, ${uid}, ${s.seriesInstanceUid}, ${i.sopClassUid}, ${i.transferSyntaxUid ?? null}, ${i.number ?? null}, ${i.numberOfFrames ?? null}, ${i.digest}, ${connectorId}, ${connectorId ? i.locator : null})`);
  }
  return { studyId: resource.id, patientId: result.patientId, study };
}
