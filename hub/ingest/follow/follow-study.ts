import { type Connector, SourceError, type StudyNow, type UnreadableItem } from '../../../connectors/connector.js';
import { contradiction, demographicsOfDescription } from '../../identity/demographics.js';
import type { Database, Queryable } from '../../store/database.js';
import { mapInTurn } from '../../store/in-turn.js';
import { sql } from '../../store/sql.js';
import { ownPartOf } from '../copies.js';
import { withHeaders } from '../seen-headers.js';
import type { Origin } from '../quarantine.js';
import type { IngestDeps } from '../submit-study.js';
import { lookRequest } from './index-view.js';
import { askElsewhere, askForLooks } from './looks.js';
import { type Replaced, replaceStudy } from './replace-study.js';
import type { Replacement } from './replacement.js';

export interface FollowDeps extends IngestDeps {
  db: Database;
}

/** A source that can be asked for whole studies. */
export interface FollowedSource extends Origin {
  connectorId: string;
  connector: Connector;
}

export interface FollowOptions {
  /** A person has confirmed that what is missing is gone. */
  confirmed?: boolean;
  signal?: AbortSignal;
}

export interface Followed {
  /** What could not be taken. */
  quarantined: readonly UnreadableItem[];
  /** Looking again would show the same. */
  isSettled: boolean;
}

const LONGEST_LOOK_MS = 120_000;
/** Other studies of a patient that are looked at before he is described otherwise. */
const MOST_STUDIES = 20;

/**
 * Looks at a study at its source and brings the index to what is there: what changed, what came, what is gone.
 * @throws SourceError when the source does not tell.
 */
export async function followStudy(
  deps: FollowDeps,
  source: FollowedSource,
  studyInstanceUid: string,
  { confirmed = false, signal }: FollowOptions = {},
): Promise<Followed> {
  const seen = await look(deps, source, studyInstanceUid, signal);
  const replace = (mayCorrectPatient: boolean): Promise<Replaced> =>
    deps.db.transaction((tx) =>
      replaceStudy(tx, deps, { ...origin(source), studyInstanceUid, ...seen, confirmed, mayCorrectPatient }),
    );
  const first = await replace(false);
  if (first.patientInQuestion === undefined) return followed(deps, source, studyInstanceUid, seen.now, first);
  const others = await studiesOf(deps.db, source, first.patientInQuestion, studyInstanceUid);
  if (others === undefined || !(await agree(deps, source, seen.now, others, signal)))
    return followed(deps, source, studyInstanceUid, seen.now, first);
  const corrected = await replace(true);
  await askForLooks(deps.db, source.connectorId, [...others, ...(await heldForPatient(deps.db, source))]);
  return followed(deps, source, studyInstanceUid, seen.now, corrected);
}

const origin = ({ custodianId, connectorId, requestId }: FollowedSource) => ({ custodianId, connectorId, requestId });

type Seen = Pick<Replacement, 'now' | 'began'>;

async function look(deps: FollowDeps, source: FollowedSource, uid: string, signal: AbortSignal | undefined): Promise<Seen> {
  if (!source.connector.look) throw new SourceError('bad-response', 'The source can not be asked for a whole study.');
  const { began, ...request } = await lookRequest(deps.db, source, uid);
  const limit = AbortSignal.timeout(LONGEST_LOOK_MS);
  try {
    const now = await source.connector.look(request, signal ? AbortSignal.any([signal, limit]) : limit);
    return { began, now: await withoutCopies(deps, source, now) };
  } catch (error) {
    if (limit.aborted && !signal?.aborted) throw new SourceError('timeout', 'The source does not tell of a study in time.');
    throw error;
  }
}

async function withoutCopies(deps: FollowDeps, source: FollowedSource, now: StudyNow): Promise<StudyNow> {
  const seen = await mapInTurn(now.studies, (study) => withHeaders({ ...deps, connector: source.connector }, source, study));
  const own = await mapInTurn(seen, ({ study }) => deps.db.transaction((tx) => ownPartOf(tx, deps, origin(source), study)));
  return {
    ...now,
    studies: own.flatMap((study) => study ?? []),
    unreadable: [...now.unreadable, ...seen.flatMap(({ unread }) => unread)],
  };
}

/** One that lost objects may be had from another source of its custodian. */
async function followed(
  { db }: FollowDeps,
  source: FollowedSource,
  uid: string,
  now: StudyNow,
  replaced: Replaced,
): Promise<Followed> {
  if (replaced.removed > 0) await askElsewhere(db, source, uid);
  return { quarantined: replaced.quarantined, isSettled: !now.unreadable.some(({ reason }) => PASSING.has(reason)) };
}

/** A study that a source holds twice is between two states; what it could not deliver it may deliver the next time. */
const PASSING: ReadonlySet<string> = new Set(['patient-conflict', 'source-error']);

/** The patient's other studies at the custodian; undefined when they are many, or one of them is from elsewhere too. */
async function studiesOf(
  on: Queryable,
  { custodianId, connectorId }: FollowedSource,
  patientId: string,
  except: string,
): Promise<string[] | undefined> {
  const rows = await on.query<{ uid: string; isOwn: boolean }>(sql`
    select c.study_instance_uid as uid, not exists (select from imaging_instance i where i.custodian_id = c.custodian_id
      and i.study_instance_uid = c.study_instance_uid and i.connector_id is distinct from ${connectorId}) as "isOwn"
    from study_claim c where c.custodian_id = ${custodianId} and c.patient_id = ${patientId} and c.removed is null
      and c.study_instance_uid <> ${except} limit ${MOST_STUDIES + 1}`);
  return rows.length <= MOST_STUDIES && rows.every((row) => row.isOwn) ? rows.map((row) => row.uid) : undefined;
}

/** Whether all these studies are stated of the same person as this one is, by name, birth date and sex. */
async function agree(
  deps: FollowDeps,
  source: FollowedSource,
  now: StudyNow,
  others: readonly string[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const stated = now.studies[0];
  if (!stated) return false;
  for (const uid of others) {
    const { studies } = (await look(deps, source, uid, signal)).now;
    const isSame = studies.every(
      ({ patient }) => !contradiction(demographicsOfDescription(stated.patient), demographicsOfDescription(patient)),
    );
    if (!isSame) return false;
  }
  return true;
}

/** Studies in the quarantine because of their patient: he may be described as they state him by now. */
async function heldForPatient(on: Queryable, { custodianId, connectorId }: FollowedSource): Promise<string[]> {
  const rows = await on.query<{ uid: string }>(sql`
    select distinct study_instance_uid as uid from quarantine
    where custodian_id = ${custodianId} and connector_id = ${connectorId} and state = 'held' and reason = 'patient-conflict'
      and study_instance_uid is not null limit 100`);
  return rows.map(({ uid }) => uid);
}
