import type { Client } from 'fhir-kit-client';
import {
  type Change,
  type LookRequest,
  type RetrieveReply,
  type RetrieveRequest,
  SourceError,
  type StudyDescription,
  type StudyNow,
  type UnreadableItem,
} from '../connector.js';
import { mergeStudies } from '../dicom/merge-studies.js';
import { isUid } from '../dicom/uid.js';
import { readWholeSeries } from '../dicomweb/read-studies.js';
import { parseLocator, type Resource, resourcePath } from '../dicomweb/resource.js';
import { retrieveFromDicomweb } from '../dicomweb/retrieve.js';
import { dicomArray, type DicomwebSource, type ReadItem, readMetadata, undelivered } from '../dicomweb/source.js';
import { missingOf, witnesses } from '../missing-instances.js';
import type { FhirRecord } from '../statement.js';
import { isBelow } from './fhir-client.js';
import { isRecord } from './pages.js';

/**
 * The images of a hospital's ImagingStudies, by their Endpoints (connection type `dicom-wado-rs`). An Endpoint is a hospital's word: only addresses below those
 * that its record names are gone to, for another hospital's archive may stand in the same network and ask for no password.
 */
export interface ImagingEndpoints {
  /** The objects of a study as its server has them, and what can't be read; nothing for a study without such an Endpoint. */
  images(client: Client, study: FhirRecord, signal: AbortSignal): AsyncGenerator<Change>;
  /** All that there is of a study now. @throws SourceError where that can't be said. */
  look(client: Client, study: LookRequest, signal: AbortSignal): Promise<StudyNow>;
  retrieve(client: Client, request: RetrieveRequest, signal: AbortSignal): Promise<RetrieveReply>;
  retry(client: Client, locator: string, signal: AbortSignal): Promise<Change>;
}

/** `Endpoint/id/studies/…`: the Endpoint is asked for again, for its address may change. */
const LOCATOR = /^(Endpoint\/[A-Za-z0-9\-.]{1,64})\/(studies\/.+)$/;
/** Series of one study that are read by their Endpoint. */
const MOST_SERIES = 2_000;
/** Instances of one change: the hub commits this many together. */
const BATCH = 200;

/** @param servers the DICOMweb servers of the hospital that Endpoints may lead to. */
export function createImagingEndpoints(servers: readonly DicomwebSource[]): ImagingEndpoints {
  const sourceOf = async (client: Client, endpoint: string): Promise<DicomwebSource> => {
    const address = await addressOf(client, endpoint);
    const server = servers.find(({ baseUrl }) => isBelow(baseUrl.replace(/\/+$/, ''), address));
    if (!server)
      throw new NotImaging('forbidden-address', 'The Endpoint leads to a server that the record of the hospital does not name.');
    return { ...server, baseUrl: address };
  };
  return {
    async *images(client, study, signal) {
      const studyInstanceUid = uidOf(study);
      if (studyInstanceUid === undefined || servers.length === 0) return;
      for (const endpoint of endpointsOf(study)) {
        const items = await orItem({ studyInstanceUid }, async () => {
          const source = await sourceOf(client, endpoint);
          return readImages(source, studyInstanceUid, study, signal);
        });
        for (const change of changesOf(endpoint, items)) yield change;
        if (items.length > 0) return;
      }
    },
    async look(client, { studyInstanceUid, instances }, signal) {
      const study = await findStudy(client, studyInstanceUid);
      for (const endpoint of endpointsOf(study)) {
        const source = await sourceOf(client, endpoint).catch(exceptNotImaging);
        if (!source) continue;
        const changes = changesOf(endpoint, await readImages(source, studyInstanceUid, study, signal));
        const studies = mergeStudies(changes.flatMap((change) => (change.kind === 'study' ? [change.study] : [])));
        const unreadable = changes.flatMap((change) => (change.kind === 'unreadable' ? [change.item] : []));
        const missing = missingOf(instances, studies, unreadable);
        for (const resource of witnesses(missing, studies)) await assertDenied(source, resource, signal);
        return { studies, unreadable, isItself: missing.length === 0 || studies.length > 0 };
      }
      if (instances.length > 0) throw new SourceError('not-found', 'The source names no images of this study.');
      return { studies: [], unreadable: [], isItself: true };
    },
    async retrieve(client, request, signal) {
      const [, endpoint = ''] = LOCATOR.exec(request.instances[0]?.locator ?? '') ?? [];
      if (endpoint === '') throw new SourceError('not-found', 'This source keeps records and no images of this study.');
      return retrieveFromDicomweb(await sourceOf(client, endpoint), request, signal);
    },
    async retry(client, locator, signal) {
      const [, endpoint = '', path = ''] = LOCATOR.exec(locator) ?? [];
      const resource = parseLocator(path);
      if (!resource) throw new SourceError('not-found', 'The source has no such item.');
      const [change] = changesOf(endpoint, await readBelow(await sourceOf(client, endpoint), resource, signal));
      if (!change) throw new SourceError('not-found', 'The source has nothing of it.');
      return change;
    },
  };
}

export const isOfImages = (locator: string): boolean => LOCATOR.test(locator);

/** An Endpoint of another kind, one that is switched off, or one that is not gone to: its images come by another source, or not at all. */
class NotImaging extends SourceError {}

function exceptNotImaging(error: unknown): undefined {
  if (!(error instanceof NotImaging)) throw error;
}

async function addressOf(client: Client, reference: string): Promise<string> {
  const [resourceType = '', id = ''] = reference.split('/');
  const endpoint: unknown = await client.read({ resourceType, id });
  if (!isRecord(endpoint) || endpoint.resourceType !== 'Endpoint' || endpoint.id !== id)
    throw new SourceError('bad-response', 'The source answers another record than the one asked for.');
  if (endpoint.connectionType?.code !== 'dicom-wado-rs' || endpoint.status !== 'active')
    throw new NotImaging('not-found', 'The Endpoint is none of images.');
  const address = String(endpoint.address ?? '');
  if (!/^https?:\/\//.test(address) || !URL.canParse(address) || /[?#]/.test(address))
    throw new SourceError('bad-response', 'The Endpoint has no address of a DICOMweb server.');
  return address.replace(/\/+$/, '');
}

const NO_STUDY: FhirRecord = { resourceType: 'ImagingStudy' };

async function findStudy(client: Client, studyInstanceUid: string): Promise<FhirRecord> {
  const identifier = `urn:dicom:uid|urn:oid:${studyInstanceUid}`;
  const bundle: unknown = await client.search({ resourceType: 'ImagingStudy', searchParams: { identifier } });
  const { entry } = (bundle ?? {}) as { entry?: { resource?: unknown }[] };
  const found = (Array.isArray(entry) ? entry : []).map((one) => one?.resource).filter(isRecord);
  return found.find((one) => one.resourceType === 'ImagingStudy' && uidOf(one) === studyInstanceUid) ?? NO_STUDY;
}

/** Of the study, and of its series. */
function endpointsOf(study: FhirRecord): string[] {
  const all: { reference?: unknown }[] = [study, ...seriesOf(study)].flatMap((one) =>
    Array.isArray(one?.endpoint) ? one.endpoint : [],
  );
  return [...new Set(all.flatMap((one) => /(?:^|\/)(Endpoint\/[A-Za-z0-9\-.]{1,64})$/.exec(String(one?.reference))?.[1] ?? []))];
}

const seriesOf = ({ series }: FhirRecord): FhirRecord[] => (Array.isArray(series) ? series.slice(0, MOST_SERIES) : []);

function uidOf({ identifier }: FhirRecord): string | undefined {
  const all: { system?: unknown; value?: unknown }[] = Array.isArray(identifier) ? identifier : [];
  const uid = String(all.find((one) => one?.system === 'urn:dicom:uid')?.value ?? '').replace(/^urn:oid:/, '');
  return isUid(uid) ? uid : undefined;
}

/** By the series that the ImagingStudy names, or all at once where it names none. @throws SourceError */
async function readImages(
  source: DicomwebSource,
  studyInstanceUid: string,
  study: FhirRecord,
  signal: AbortSignal,
): Promise<ReadItem[]> {
  const uids = [...new Set(seriesOf(study).map((one) => String(one?.uid ?? '')))].filter(isUid);
  if (uids.length === 0) return readBelow(source, { studyInstanceUid }, signal);
  const items: ReadItem[] = [];
  for (const seriesInstanceUid of uids)
    items.push(...(await readWholeSeries(source, { studyInstanceUid, seriesInstanceUid }, signal)));
  return items;
}

async function readBelow(source: DicomwebSource, resource: Resource, signal: AbortSignal): Promise<ReadItem[]> {
  const metadata = await dicomArray(source, `${resourcePath(resource)}/metadata`, signal);
  return metadata.map((json) => readMetadata(source, resource, json));
}

/** What was read, or the item that stands for what failed: an archive that is away keeps no record waiting. */
async function orItem(of: Resource, read: () => Promise<ReadItem[]>): Promise<ReadItem[]> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof NotImaging) return [];
    if (!(error instanceof SourceError)) throw error;
    return [undelivered(of, error)];
  }
}

async function assertDenied(source: DicomwebSource, resource: Resource, signal: AbortSignal): Promise<void> {
  const items = await readBelow(source, resource, signal).catch((error) => {
    if (error instanceof SourceError && error.code === 'not-found') return [];
    throw error;
  });
  if (items.length > 0) throw new SourceError('bad-response', 'The source delivers by itself what it leaves out of a study.');
}

/** The items as changes of at most 200 instances, found again by their Endpoint. */
function changesOf(endpoint: string, items: readonly ReadItem[]): Change[] {
  const at = (locator: string): string => `${endpoint}/${locator}`;
  const studies = mergeStudies(items.flatMap((item) => (item.kind === 'study' ? [item.study] : [])));
  const unreadable = items.flatMap((item): UnreadableItem[] => (item.kind === 'unreadable' ? [item.item] : []));
  return [
    ...studies.flatMap(batches).map((study): Change => ({ kind: 'study', study: withLocators(study, at) })),
    ...unreadable.map((item): Change => ({ kind: 'unreadable', item: { ...item, locator: at(item.locator) } })),
  ];
}

const withLocators = (study: StudyDescription, at: (locator: string) => string): StudyDescription => ({
  ...study,
  series: study.series.map((series) => ({
    ...series,
    instances: series.instances.map((one) => ({ ...one, locator: at(one.locator) })),
  })),
});

const batches = (study: StudyDescription): StudyDescription[] =>
  study.series.flatMap((series) =>
    Array.from({ length: Math.ceil(series.instances.length / BATCH) }, (_, i) => ({
      ...study,
      series: [{ ...series, instances: series.instances.slice(i * BATCH, (i + 1) * BATCH) }],
    })),
  );
