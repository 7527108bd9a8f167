import type { Caller } from '../../access/caller.js';
import type { RequestAccess, RowWithEvidence } from '../../access/decision.js';
import type { Shown } from '../../access/shown.js';
import { type Withheld, withheldAmong, withheldOf } from '../../fhir/withheld.js';
import { notSupported } from '../../outcomes.js';
import type { Queryable } from '../../store/database.js';
import { type Answer, answerOf } from './answer.js';
import type { QidoQuery } from './query.js';
import { knownStudies, type Result, resultsOf } from './results.js';
import { studiesNamed } from './series-keys.sql.js';
import { ofUids } from './study-keys.sql.js';
import { type SoughtStudies, soughtStudies } from './studies.sql.js';

/** What a search answers. */
export interface Found extends Answer {
  /** Studies of the patient or with the UID that was named, which the caller may know of and not read. */
  withheld: Withheld[];
  /** How many results there are beyond these; `more`: some, not counted. */
  remaining: number | 'more';
}

/** Who asks, in which snapshot, and the root of the DICOMweb services. */
export interface Searching {
  tx: Queryable;
  access: RequestAccess;
  caller: Caller;
  root: string;
}

type Some = Pick<Found, 'remaining'> & { results: Result[] };

/** Remaining results are counted up to here. */
const TOTAL_CAP = 10_000;
/** Studies that are looked through for series and instances; beyond, the search is to be narrowed. */
const MOST_STUDIES = 2_000;
const BATCH = 50;

/** Searches among all studies that the caller may see (PS3.18 section 10.6.1), by the predicate of FHIR search. */
export async function searchAll(searching: Searching, query: QidoQuery): Promise<Found> {
  const { tx, access, caller } = searching;
  const sought = soughtStudies(query, await studiesNamed(tx, query.keys), access);
  const { results, remaining } = await (query.level === 'study' ? studies : belowStudies)(searching, sought, query);
  const answer = await answerOf(tx, access, caller, query, results);
  return { ...answer, remaining, withheld: await withheldNamed(searching, sought, query) };
}

/** Searches within one study that is shown; that nothing of it meets the keys is told of that study, too. */
export async function searchWithin({ tx, access, caller, root }: Searching, query: QidoQuery, study: Shown): Promise<Found> {
  const known = await knownStudies(tx, [study], query.level, root);
  const all = known.flatMap((one) => resultsOf(one, query));
  const results = all.slice(query.offset, query.offset + query.limit);
  const answer = await answerOf(tx, access, caller, query, results);
  const remaining = Math.max(0, all.length - query.offset - results.length);
  return { ...answer, matches: [study], withheld: [], remaining };
}

async function studies({ tx, root }: Searching, sought: SoughtStudies, query: QidoQuery): Promise<Some> {
  const { shown, next } = await sought.page(tx, query.limit, { offset: query.offset });
  const results = (await knownStudies(tx, shown, 'study', root)).flatMap((one) => resultsOf(one, query));
  if (!next && query.limit > 0) return { results, remaining: 0 };
  const total = await sought.total(tx, TOTAL_CAP);
  return { results, remaining: total > TOTAL_CAP ? 'more' : Math.max(0, total - query.offset - results.length) };
}

/** Series and instances, study by study, until there are enough. */
async function belowStudies({ tx, root }: Searching, sought: SoughtStudies, query: QidoQuery): Promise<Some> {
  const results: Result[] = [];
  let skipped = 0;
  let after: Awaited<ReturnType<SoughtStudies['page']>>['next'];
  for (let examined = 0; examined < MOST_STUDIES; examined += BATCH) {
    const { shown, next } = await sought.page(tx, BATCH, { after });
    for (const one of await knownStudies(tx, shown, query.level, root))
      for (const result of resultsOf(one, query)) {
        if (skipped < query.offset) skipped += 1;
        else if (results.length < query.limit) results.push(result);
        else return { results, remaining: 'more' };
      }
    if (!next) return { results, remaining: 0 };
    after = next;
  }
  throw notSupported(`More than ${MOST_STUDIES} studies would have to be gone through: narrow the search.`, 'offset');
}

/**
 * What is withheld is told on the first page, where a patient's number or a study's UID is given; it is the same whatever else is searched for, since
 * a study that came and went with a key would tell its content.
 */
async function withheldNamed({ tx, access }: Searching, { conditions }: SoughtStudies, query: QidoQuery): Promise<Withheld[]> {
  const uids = query.keys.find(({ attribute }) => attribute.keyword === 'StudyInstanceUID')?.match;
  const naming = [
    ...conditions.filter((c) => c.kind === 'patient-identifier'),
    ...(uids?.kind === 'one-of' ? [ofUids(uids.values)] : []),
  ];
  if (query.offset > 0 || naming.length === 0) return [];
  const rows = await tx.query<RowWithEvidence & Record<string, unknown>>(withheldAmong(access, naming));
  return withheldOf(access, rows).filter(({ row }) => query.custodianId === undefined || row.custodian_id === query.custodianId);
}
