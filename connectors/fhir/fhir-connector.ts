import type { Client } from 'fhir-kit-client';
import { type Change, type Connector, SourceError } from '../connector.js';
import { type Credentials, createSourceClient, type Timeouts } from '../dicomweb/source-client.js';
import type { Outbound } from '../outbound.js';
import { type FhirRecord, OWN_NUMBERS } from '../statement.js';
import { createFhirClient } from './fhir-client.js';
import { isRecord, type Page, searchPages } from './pages.js';

/** What is read, in this order: what is referred to comes before what refers. */
export const FHIR_TYPES = ['Patient', 'ServiceRequest', 'ImagingStudy', 'Observation', 'DiagnosticReport'] as const;
export type FhirType = (typeof FHIR_TYPES)[number];

export interface FhirSettings {
  /** Base of the server, e.g. `https://his.example.org/fhir`. */
  baseUrl: string;
  auth?: Credentials;
  types?: readonly FhirType[];
  /** Identifier.system of the hospital's own patient numbers at this server, where it is not the assigner of its record. */
  numberSystem?: string;
  /** How far before the last change is read again: what was committed late is not missed. */
  overlapSeconds?: number;
  pageSize?: number;
  timeouts?: Partial<Timeouts>;
  maxConcurrent?: number;
  maxJsonBytes?: number;
}

/** Until when each type was read: an instant of the server's. */
type Cursor = Partial<Record<FhirType, string>>;

/** Versions that are remembered, so that what is read again within the overlap is not taken again. */
const REMEMBERED = 10_000;

/** A hospital whose records are kept by a FHIR R4 server: what changed is asked for by `_lastUpdated`. */
export function createFhirConnector(settings: FhirSettings & { outbound: Outbound }): Connector {
  const http = createSourceClient({
    outbound: settings.outbound,
    auth: settings.auth,
    timeouts: { headersMs: 30_000, idleMs: 30_000, ...settings.timeouts },
    maxConcurrent: settings.maxConcurrent ?? 4,
    maxJsonBytes: settings.maxJsonBytes ?? 32 * 1024 * 1024,
  });
  const base = settings.baseUrl.replace(/\/+$/, '');
  const seen = new Map<string, string>();
  const statement = (resource: FhirRecord & { id?: string }): Change => {
    const id = `${resource.resourceType}/${resource.id}`;
    return {
      kind: 'statement',
      statement: {
        locator: id,
        ids: 'of-source',
        base,
        what: `FHIR ${resource.resourceType}`,
        steps: [{ kind: 'record', id, resource: withOwnNumbers(resource, settings.numberSystem), isCorrection: true }],
      },
    };
  };
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
    async *changes(cursor, signal) {
      const client = createFhirClient(base, http, signal);
      const until = parseCursor(cursor);
      if (cursor === undefined) seen.clear();
      let isWhole = false;
      try {
        for (const type of FHIR_TYPES.filter((t) => settings.types?.includes(t) ?? true))
          yield* changesOf(client, type, { until, settings, statement, fresh });
        isWhole = true;
      } finally {
        // what was handed on last may not have been taken
        if (!isWhole) seen.clear();
      }
    },
    async retry({ locator }, signal) {
      const [resourceType = '', id = ''] = locator.split('/');
      if (!isRecord({ resourceType, id })) throw new SourceError('not-found', 'The source has no such record.');
      const resource: unknown = await createFhirClient(base, http, signal).read({ resourceType, id });
      if (!isRecord(resource) || resource.resourceType !== resourceType || resource.id !== id)
        throw new SourceError('bad-response', 'The source answers another record than the one asked for.');
      return statement(resource);
    },
    retrieve: async () => {
      throw new SourceError('not-found', 'This source keeps records and no images.');
    },
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

interface Reading {
  until: Cursor;
  settings: FhirSettings;
  statement: (resource: FhirRecord) => Change;
  fresh: (resource: FhirRecord) => boolean;
}

/** What changed of one type. The cursor advances page by page where the server keeps the order that it is asked for, else at the end. */
async function* changesOf(
  client: Client,
  type: FhirType,
  { until, settings, statement, fresh }: Reading,
): AsyncGenerator<Change> {
  const since = until[type];
  const overlap = (settings.overlapSeconds ?? 60) * 1_000;
  const params = {
    ...(since ? { _lastUpdated: `ge${new Date(Date.parse(since) - overlap).toISOString()}` } : {}),
    ...(type === 'Patient' ? {} : { _include: `${type}:subject` }),
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
      if (fresh(resource)) yield statement(resource);
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

/** The patients of a page: those that came along, and the others one by one. */
async function patientsOf(client: Client, { matches, included }: Page): Promise<FhirRecord[]> {
  const patients = new Map(included.filter((r) => r.resourceType === 'Patient').map((r) => [`Patient/${r.id}`, r]));
  for (const { subject } of matches) {
    const [, id] = /(?:^|\/)Patient\/([A-Za-z0-9\-.]{1,64})$/.exec(String(subject?.reference ?? '')) ?? [];
    if (!id || patients.has(`Patient/${id}`)) continue;
    const patient: unknown = await client.read({ resourceType: 'Patient', id }).catch((error) => {
      if (error instanceof SourceError && (error.code === 'not-found' || error.code === 'refused')) return undefined;
      throw error;
    });
    if (isRecord(patient) && patient.resourceType === 'Patient' && patient.id === id) patients.set(`Patient/${id}`, patient);
  }
  return [...patients.values()];
}

function instantOf({ meta }: FhirRecord): string | undefined {
  const at: unknown = meta?.lastUpdated;
  return typeof at === 'string' && !Number.isNaN(Date.parse(at)) ? at : undefined;
}

/** The record with the hospital's own numbers marked as such. */
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
    const known = FHIR_TYPES.filter((t) => typeof parsed[t] === 'string' && !Number.isNaN(Date.parse(parsed[t] as string)));
    return Object.fromEntries(known.map((t) => [t, parsed[t] as string]));
  } catch {
    return {};
  }
}
