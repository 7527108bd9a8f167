import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Input } from '../../../models/finding.js';
import { graphsOf, loadModelPackage } from '../../../models/model-package.js';
import { failure, type Outcome, success } from '../../../models/outcome.js';
import type { ObservedValue } from '../../../models/pipeline.js';
import { scoreStudy } from '../../../models/runtime.js';
import type { Scored } from '../../../models/score-messages.js';
import type { Database } from '../../store/database.js';
import { columns, findResource, type ResourceRow, toResource } from '../../store/resources.js';
import { sql } from '../../store/sql.js';
import { fetchStudy, type RetrieveSeries, withPrivateFolder } from '../fetch-study.js';
import { laboratoryValues } from '../laboratory-values.js';
import { madeBy } from '../made-by.js';
import type { ScoreRecord } from '../score-record.js';
import { resultDigest, resultOf } from '../result-digest.js';
import { RESULT } from '../results.js';
import { differences } from './differences.js';

export interface ReplayDeps {
  db: Database;
  retrieve: RetrieveSeries;
  /** Seconds. */
  timeout: number;
}

/** What became of a score that was made again. */
export interface Replay {
  /** The same inputs gave the same result, to the last bit. */
  equal: boolean;
  /** What differs, in words; what went in before what came out. */
  different: string[];
  /** What it was made with is another now: the result may be equal all the same. */
  otherwise: string[];
}

/**
 * Makes a published score again: fetches what went in from its custodian, checks the digest of each input, runs the same model at the same operating point on
 * as many threads, and compares the result to the last bit.
 */
export async function replayScore(deps: ReplayDeps, record: ScoreRecord): Promise<Replay> {
  const otherwise = differences(record.made, await madeBy(record.manifest), 'made with');
  const none = (...different: string[]): Replay => ({ equal: false, different, otherwise });
  const model = await loadModelPackage(record.manifest.name);
  if (!model.ok) return none(model.message);
  const graphs = differences(graphHashes(record.manifest), graphHashes(model.value.manifest), 'graph');
  if (graphs.length > 0) return none('The program carries another model by now.', ...graphs);
  const stated = await statedResult(deps.db, record.reportId);
  if (stated !== `urn:sha256:${resultDigest(record.scored)}`)
    return none('The record of the score is not what its Provenance states.');
  return withPrivateFolder(async (folder) => {
    const given = await fetchInputs(deps, record, folder);
    if (!given.ok) return none(given.message);
    const changed = changedInputs(record.scored.inputs, given.value.inputs);
    if (changed.length > 0) return none(...changed);
    const again = await scoreAgain(deps, record, given.value);
    if (!again.ok) return none(again.message);
    otherwise.push(...differences(record.scored.runtime, again.value.runtime, 'runtime'));
    const different = [
      ...differences(record.scored.inputs, again.value.inputs, 'inputs'),
      ...differences(resultOf(record.scored), resultOf(again.value), ''),
    ];
    return { equal: different.length === 0, different, otherwise };
  });
}

interface Fetched {
  files: string[];
  observations: ObservedValue[];
  /** Digests of all that there is, with what is known of each. */
  inputs: ReadonlyMap<string, string | undefined>;
}

/** What the Provenance says that the result was, which was written with it. */
async function statedResult(db: Database, reportId: string): Promise<string | undefined> {
  const [row] = await db.query<ResourceRow & Record<string, unknown>>(sql`
    select ${columns} from score_record s join resource r on r.type = 'Provenance' and r.id = s.provenance_id where s.report_id = ${reportId}`);
  const entities: { what?: { display?: string; identifier?: { value?: string } } }[] = row ? (toResource(row).entity ?? []) : [];
  return entities.find(({ what }) => what?.display === RESULT)?.what?.identifier?.value;
}

/** Only what went in goes in again: a study may have got more images since. */
async function fetchInputs(
  { db, retrieve, timeout }: ReplayDeps,
  record: ScoreRecord,
  folder: string,
): Promise<Outcome<Fetched>> {
  const [type = '', id = ''] = record.focus.split('/');
  const focus = await findResource(db, type, id);
  if (!focus || focus.deleted) return failure('malformed-input', 'What was scored is no longer indexed.');
  const wanted = new Set(record.scored.inputs.map(({ sha256 }) => sha256));
  if (type !== 'ImagingStudy') {
    const values = laboratoryValues(await observationsOf(db, record.scored.inputs)).filter(({ sha256 }) => wanted.has(sha256));
    return success({ files: [], observations: values, inputs: new Map(values.map((value) => [value.sha256, undefined])) });
  }
  const signal = AbortSignal.timeout(timeout * 1000);
  const fetched = await persistently(folder, signal, (place) => fetchStudy(focus, record.manifest, place, retrieve, signal));
  if (!fetched.ok) return fetched;
  const digests = new Map<string, string>();
  for (const path of fetched.value.files) digests.set(await digestOf(path), path);
  const kept = [...digests].filter(([sha256]) => wanted.has(sha256)).map(([, path]) => path);
  return success({ files: kept.sort(), observations: [], inputs: digests });
}

/** Every version of the laboratory's values that went in: one of them is the value as it was, whatever the laboratory has corrected since. */
async function observationsOf(db: Database, inputs: readonly Input[]): Promise<ResourceRow[]> {
  const ids = inputs.flatMap((input) => ('observationId' in input ? [input.observationId] : []));
  return db.query<ResourceRow & Record<string, unknown>>(sql`
    select ${columns} from resource r where r.type = 'Observation' and r.id = any(${ids}::text[]) and not r.deleted
    union all
    select ${columns} from resource_history r where r.type = 'Observation' and r.id = any(${ids}::text[]) and not r.deleted`);
}

const ATTEMPTS = 3;

/** A connection that breaks says nothing about the images: they are asked for again, into a folder of their own. @throws when that does not help */
async function persistently<T>(folder: string, signal: AbortSignal, fetch: (place: string) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const place = join(folder, `attempt-${attempt}`);
    await mkdir(place, { mode: 0o700 });
    try {
      return await fetch(place);
    } catch (error) {
      if (attempt === ATTEMPTS || signal.aborted)
        throw new Error('the images could not be taken from the custodian’s source', { cause: error });
    }
  }
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Inputs that are gone from their custodian, or other bytes by now. */
const changedInputs = (inputs: readonly Input[], now: ReadonlyMap<string, unknown>): string[] =>
  inputs
    .filter(({ sha256 }) => !now.has(sha256))
    .map(
      (input) =>
        `${'sopInstanceUid' in input ? input.sopInstanceUid : `Observation/${input.observationId}`} is gone or was changed.`,
    );

async function scoreAgain({ timeout }: ReplayDeps, { manifest, scored }: ScoreRecord, given: Fetched): Promise<Outcome<Scored>> {
  return scoreStudy({
    model: manifest.name,
    files: given.files,
    observations: given.observations,
    thresholds: scored.thresholds,
    threads: scored.runtime.threads,
    timeoutMs: timeout * 1000,
    memoryLimitBytes: manifest.resources.memoryMb * 1024 ** 2,
  });
}

const graphHashes = (manifest: ScoreRecord['manifest']): Record<string, string> =>
  Object.fromEntries([...graphsOf(manifest)].map(([name, { sha256 }]) => [name, sha256]));
