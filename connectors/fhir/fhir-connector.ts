import type { Client } from 'fhir-kit-client';
import { type Change, type Connector, SourceError } from '../connector.js';
import { type Credentials, createSourceClient, type SourceClient, type Timeouts } from '../dicomweb/source-client.js';
import type { Outbound } from '../outbound.js';
import { createAccessTokens, type SmartCredentials } from '../smart-backend.js';
import { type FhirRecord, OWN_NUMBERS, type Step } from '../statement.js';
import { createDeletions, type Known } from './deletions.js';
import { createFhirClient } from './fhir-client.js';
import { createImagingEndpoints, type ImagingEndpoints, isOfImages } from './imaging-endpoints.js';
import { isRecord, type Page, searchPages } from './pages.js';

/** What can be read, in this order: what is referred to comes before what refers. */
export const FHIR_TYPES = [
  'Patient',
  'ServiceRequest',
  'Appointment',
  'ImagingStudy',
  'Observation',
  'DiagnosticReport',
] as const;
export type FhirType = (typeof FHIR_TYPES)[number];
/** Not every server has appointments: they are read where a hospital's record says so. */
const BY_DEFAULT: readonly FhirType[] = FHIR_TYPES.filter((type) => type !== 'Appointment');

export interface FhirSettings {
  /** Base of the server, e.g. `https://his.example.org/fhir`. */
  baseUrl: string;
  auth?: Credentials | (Omit<SmartCredentials, 'scope'> & { scope?: string });
  tlsCa?: string;
  /** DICOMweb servers of the hospital that the Endpoints of its ImagingStudies may lead to. */
  endpoints?: readonly { baseUrl: string; auth?: Credentials; tlsCa?: string }[];
  defaultUtcOffset?: string;
  types?: readonly FhirType[];
  /** Identifier.system of the hospital's own patient numbers at this server, where it is not the assigner of its record. */
  numberSystem?: string;
  /** How often all ids are compared, of types whose history the server does not keep. */
  fullListingHours?: number;
  /** How far before the last change is read again: what was committed late is not missed. */
  overlapSeconds?: number;
  pageSize?: number;
  timeouts?: Partial<Timeouts>;
  maxConcurrent?: number;
  maxJsonBytes?: number;
}

/** Until when each type was read: an instant of the server's; and until when it is known what is gone. */
type Cursor = Partial<Record<FhirType, string>> & { gone?: Known };

/** Versions that are remembered, so that what is read again within the overlap is not taken again. */
const REMEMBERED = 10_000;

/** A hospital whose records are kept by a FHIR R4 server: what changed is asked for by `_lastUpdated`. */
export function createFhirConnector(settings: FhirSettings & { outbound: Outbound }): Connector {
  const types = FHIR_TYPES.filter((t) => (settings.types ?? BY_DEFAULT).includes(t));
  const http = clientOf(settings, types);
  const imaging = imagingOf(settings);
  const base = settings.baseUrl.replace(/\/+$/, '');
  const seen = new Map<string, string>();
  const stated = (locator: string, what: string, steps: readonly Step[]): Change => ({
    kind: 'statement',
    statement: { locator, ids: 'of-source', base, what, steps },
  });
  const statement = (resource: FhirRecord & { id?: string }): Change => {
    const id = `${resource.resourceType}/${resource.id}`;
    const step: Step = { kind: 'record', id, resource: asOwn(resource, settings.numberSystem), isCorrection: true };
    return stated(id, `FHIR ${resource.resourceType}`, [step, ...replacements(resource, base)]);
  };
  const gone = (id: string): Change => {
    seen.delete(id);
    return stated(id, `FHIR ${id.split('/')[0]}`, [{ kind: 'record-gone', id }]);
  };
  const deletions = createDeletions(
    {
      types,
      overlapMs: overlapOf(settings),
      pageSize: settings.pageSize ?? 100,
      fullListingMs: (settings.fullListingHours ?? 24) * 3_600_000,
    },
    gone,
  );
  /** Not what was handed on in this version already. */
  const fresh = (resource: FhirRecord): boolean => {
    const key = `${resource.resourceType}/${resource.id}`;
    const version = `${resource.meta?.versionId ?? ''} ${resource.meta?.lastUpdated ?? ''}`;
    if (version !== ' ' && seen.get(key) === version) return false;
    seen.delete(key);
    seen.set(key, version);
    if (seen.size > REMEMBERED) seen.delete(seen.keys().next().value as string);
    return true;
  };
  return {
    async *changes(cursor, signal, index) {
      const client = createFhirClient(base, http, signal);
      const until = parseCursor(cursor);
      if (cursor === undefined) seen.clear();
      let isWhole = false;
      try {
        for (const type of types) yield* changesOf(client, type, { until, settings, statement, fresh, imaging, signal });
        until.gone ??= {};
        yield* deletions.changes(client, until.gone, () => ({ kind: 'checkpoint', cursor: JSON.stringify(until) }), index);
        isWhole = true;
      } finally {
        // what was handed on last may not have been taken
        if (!isWhole) seen.clear();
      }
    },
    look: (study, signal) => imaging.look(createFhirClient(base, http, signal), study, signal),
    async retry({ locator }, signal) {
      const client = createFhirClient(base, http, signal);
      if (isOfImages(locator)) return imaging.retry(client, locator, signal);
      // a listing as a whole: the next one tells
      if (locator.endsWith('?')) return { kind: 'checkpoint', cursor: '' };
      const [resourceType = '', id = ''] = locator.split('/');
      if (!isRecord({ resourceType, id })) throw new SourceError('not-found', 'The source has no such record.');
      const resource: unknown = await client.read({ resourceType, id }).catch((error) => {
        if (error instanceof SourceError && error.code === 'not-found') return undefined;
        throw error;
      });
      if (resource === undefined) return gone(locator);
      if (!isRecord(resource) || resource.resourceType !== resourceType || resource.id !== id)
        throw new SourceError('bad-response', 'The source answers another record than the one asked for.');
      return statement(resource);
    },
    retrieve: (request, signal) => imaging.retrieve(createFhirClient(base, http, signal), request, signal),
    health: async (signal) => {
      const began = performance.now();
      try {
        const answer: unknown = await createFhirClient(base, http, signal).capabilityStatement();
        const isFhir = (answer as FhirRecord | undefined)?.resourceType === 'CapabilityStatement';
        return isFhir
          ? { reachable: true, detail: 'The FHIR server answers.', latencyMs: performance.now() - began }
          : { reachable: false, detail: 'The source answers no CapabilityStatement.' };
      } catch (error) {
        if (!(error instanceof SourceError)) throw error;
        return { reachable: false, detail: error.message };
      }
    },
    close: async () => {},
  };
}

function clientOf(settings: FhirSettings & { outbound: Outbound }, types: readonly FhirType[]): SourceClient {
  const { auth, outbound, tlsCa, baseUrl } = settings;
  const isSmart = auth?.kind === 'smart';
  const scope = [...types, 'Endpoint'].map((type) => `system/${type}.rs`).join(' ');
  return createSourceClient({
    ...clientSettings(settings),
    tlsCa,
    ...(isSmart
      ? { tokens: createAccessTokens({ outbound, baseUrl, credentials: { scope, ...auth }, tlsCa }) }
      : { auth: auth as Credentials | undefined }),
  });
}

const clientSettings = (settings: FhirSettings & { outbound: Outbound }) => ({
  outbound: settings.outbound,
  timeouts: { headersMs: 30_000, idleMs: 30_000, ...settings.timeouts },
  maxConcurrent: settings.maxConcurrent ?? 4,
  maxJsonBytes: settings.maxJsonBytes ?? 32 * 1024 * 1024,
});

/** The credentials of the FHIR server are for that server alone. */
const imagingOf = (settings: FhirSettings & { outbound: Outbound }): ImagingEndpoints =>
  createImagingEndpoints(
    (settings.endpoints ?? []).map(({ baseUrl, auth, tlsCa }) => ({
      baseUrl,
      defaultUtcOffset: settings.defaultUtcOffset,
      maxConcurrent: settings.maxConcurrent ?? 4,
      client: createSourceClient({ ...clientSettings(settings), auth, tlsCa }),
    })),
  );

const overlapOf = ({ overlapSeconds = 60 }: FhirSettings): number => overlapSeconds * 1_000;

/** Patient.link: this Patient stands for another one, or another one for this (FHIR R4 8.1.9). */
function replacements({ resourceType, id, link }: FhirRecord, base: string): Step[] {
  if (resourceType !== 'Patient' || !Array.isArray(link)) return [];
  const own = `Patient/${id}`;
  return (link as { other?: { reference?: unknown }; type?: unknown }[]).flatMap((one): Step[] => {
    const other = patientIn(String(one?.other?.reference ?? ''), base);
    if (!other || other === own) return [];
    if (one.type === 'replaced-by') return [{ kind: 'patient-replaced', survivor: other, retired: own }];
    return one.type === 'replaces' ? [{ kind: 'patient-replaced', survivor: own, retired: other }] : [];
  });
}

/** `Patient/id` of this server. */
function patientIn(reference: string, base: string): string | undefined {
  const relative = reference.startsWith(`${base}/`) ? reference.slice(base.length + 1) : reference;
  return /^Patient\/[A-Za-z0-9\-.]{1,64}$/.test(relative) ? relative : undefined;
}

interface Reading {
  until: Cursor;
  settings: FhirSettings;
  statement: (resource: FhirRecord) => Change;
  fresh: (resource: FhirRecord) => boolean;
  imaging: ImagingEndpoints;
  signal: AbortSignal;
}

/** What changed of one type. The cursor advances page by page where the server keeps the order that it is asked for, else at the end. */
async function* changesOf(
  client: Client,
  type: FhirType,
  { until, settings, statement, fresh, imaging, signal }: Reading,
): AsyncGenerator<Change> {
  const since = until[type];
  const overlap = overlapOf(settings);
  const params = {
    ...(since ? { _lastUpdated: `ge${new Date(Date.parse(since) - overlap).toISOString()}` } : {}),
    ...(type === 'Patient' ? {} : { _include: `${type}:${type === 'Appointment' ? 'patient' : 'subject'}` }),
    _sort: '_lastUpdated',
    _count: settings.pageSize ?? 100,
  };
  let last = since;
  let isSorted = true;
  let began: string | undefined;
  for await (const page of searchPages(client, type, params)) {
    began ??= page.at ?? new Date(Date.now() - CLOCKS_APART).toISOString();
    for (const patient of await patientsOf(client, page)) if (fresh(patient)) yield statement(patient);
    for (const resource of page.matches) {
      const updated = instantOf(resource);
      if (updated && last && Date.parse(updated) < Date.parse(last) - overlap) isSorted = false;
      if (updated && (!last || Date.parse(updated) > Date.parse(last))) last = updated;
      if (!fresh(resource)) continue;
      yield statement(resource);
      if (type === 'ImagingStudy') yield* imaging.images(client, resource, signal);
    }
    if (page.unusable > 0) yield unusable(type, page.unusable);
    if (isSorted && last && last !== until[type]) yield checkpoint(until, type, last);
  }
  // what changed behind the back of a listing without order is later than its beginning
  const end = isSorted || !last || !began || Date.parse(last) < Date.parse(began) ? last : began;
  if (end && end !== until[type]) yield checkpoint(until, type, end);
}

/** How far the clocks of a server and the hub may be apart, where the server does not say its time, ms. */
const CLOCKS_APART = 300_000;

function checkpoint(until: Cursor, type: FhirType, last: string): Change {
  until[type] = last;
  return { kind: 'checkpoint', cursor: JSON.stringify(until) };
}

const unusable = (type: FhirType, count: number): Change => ({
  kind: 'unreadable',
  item: {
    locator: `${type}?`,
    reason: 'invalid-record',
    detail: `${type}: ${count} entries of a page are no resources with an id.`,
  },
});

/** The patients that a page refers to: those that came along, and the others one by one; of Patients, those that stand for them. */
async function patientsOf(client: Client, { matches, included }: Page): Promise<FhirRecord[]> {
  const patients = new Map(included.filter((r) => r.resourceType === 'Patient').map((r) => [`Patient/${r.id}`, r]));
  for (const one of matches) {
    const [, id] = /(?:^|\/)Patient\/([A-Za-z0-9\-.]{1,64})$/.exec(personOf(one)) ?? [];
    if (!id || patients.has(`Patient/${id}`)) continue;
    const patient: unknown = await client.read({ resourceType: 'Patient', id }).catch((error) => {
      if (error instanceof SourceError && (error.code === 'not-found' || error.code === 'refused')) return undefined;
      throw error;
    });
    if (isRecord(patient) && patient.resourceType === 'Patient' && patient.id === id) patients.set(`Patient/${id}`, patient);
  }
  return [...patients.values()];
}

/** Reference of the Patient whom a record is about; of a Patient who was given up, of the one who stands for him. */
function personOf({ resourceType, subject, participant, link }: FhirRecord): string {
  if (resourceType === 'Appointment') {
    const actors = (Array.isArray(participant) ? participant : []).map((one) => String(one?.actor?.reference ?? ''));
    return actors.find((reference) => reference.includes('Patient/')) ?? '';
  }
  if (resourceType !== 'Patient') return String(subject?.reference ?? '');
  const links: { type?: unknown; other?: { reference?: unknown } }[] = Array.isArray(link) ? link : [];
  return String(links.find((one) => one?.type === 'replaced-by')?.other?.reference ?? '');
}

function instantOf({ meta }: FhirRecord): string | undefined {
  const at: unknown = meta?.lastUpdated;
  return typeof at === 'string' && !Number.isNaN(Date.parse(at)) ? at : undefined;
}

/** The record with the hospital's own numbers marked as such, and without the links that are steps of their own. */
function asOwn({ link, ...stated }: FhirRecord, numberSystem: string | undefined): FhirRecord {
  const kept = Array.isArray(link) ? link.filter((one) => !['replaced-by', 'replaces'].includes(one?.type)) : link;
  const hasLinks = Array.isArray(kept) ? kept.length > 0 : kept !== undefined;
  return withOwnNumbers(hasLinks ? { ...stated, link: kept } : stated, numberSystem);
}

function withOwnNumbers(resource: FhirRecord, numberSystem: string | undefined): FhirRecord {
  if (numberSystem === undefined || !Array.isArray(resource.identifier)) return resource;
  const identifier = resource.identifier.map((i: { system?: string } | null) =>
    i?.system === numberSystem ? { ...i, system: OWN_NUMBERS } : i,
  );
  return { ...resource, identifier };
}

/** A cursor that can't be read means reading from the beginning: repeating is harmless, missing is not. */
function parseCursor(cursor: string | undefined): Cursor {
  try {
    const parsed = JSON.parse(cursor ?? '{}') as Record<string, unknown>;
    const isInstant = (value: unknown): value is string => typeof value === 'string' && !Number.isNaN(Date.parse(value));
    const known = FHIR_TYPES.filter((t) => isInstant(parsed[t]));
    const { history, listed, partial } = (parsed.gone ?? {}) as Known;
    const again = Array.isArray(partial) ? FHIR_TYPES.filter((t) => partial.includes(t)) : [];
    const instants = Object.entries(history ?? {}).filter(([, at]) => isInstant(at));
    return {
      ...Object.fromEntries(known.map((t) => [t, parsed[t] as string])),
      gone: {
        ...(instants.length > 0 ? { history: Object.fromEntries(instants) } : {}),
        ...(Number.isSafeInteger(listed) ? { listed } : {}),
        ...(again.length > 0 ? { partial: again } : {}),
      },
    };
  } catch {
    return {};
  }
}
