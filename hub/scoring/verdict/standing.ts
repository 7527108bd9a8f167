/** What stands of a score: what the model said, or what a physician has left of it. Pure. */
import type { Finding } from '../../../models/finding.js';
import type { Manifest } from '../../../models/manifest.js';
import type { Scored } from '../../../models/score-messages.js';
import type { FindingChange, Review } from '../review/review.js';

export interface StandingFinding extends Omit<Finding, 'score'> {
  /** Absent where a physician has said where it is, or how large: the model did not score that. */
  score?: number;
  /** Its number among the model's findings, from 0; absent for one that a physician added. */
  ofModel?: number;
  /** Id of the Observation that says so; absent until a physician has had his say. */
  observation?: string;
  /** The physician who says so, by name; absent where the model does. */
  physician?: string;
  /** In the physician's words. */
  text?: string;
}

export interface Standing {
  positive: boolean;
  findings: StandingFinding[];
  /** Values by the names of the manifest's `summary`; null where there is nothing to say. */
  summary: Record<string, number | null>;
  /** The physician who says what is said of the whole; absent where the model does. */
  physician?: string;
}

/** @param observations ids of the Observations of the findings, in their order. */
export const asModelSaid = (
  { positive, findings, summary }: Pick<Scored, 'positive' | 'findings' | 'summary'>,
  observations: readonly string[] = [],
): Standing => ({
  positive,
  findings: findings.map((finding, i) => ({
    ...finding,
    ofModel: i,
    ...(observations[i] ? { observation: observations[i] } : {}),
  })),
  summary,
});

type Seen = Exclude<FindingChange, { change: 'remove' }>;

/**
 * What a correction leaves: findings in the order in which the report has them.
 * @param written ids of the Observations of the changed and added findings, in the order of the review.
 */
export function corrected(
  before: Standing,
  { findings, values, positive }: Pick<Review, 'findings' | 'values' | 'positive'>,
  written: readonly string[],
  physician: string,
  { summary: stated }: Pick<Manifest, 'summary'>,
): Standing {
  const replaced = new Set(findings.flatMap((change) => ('observation' in change ? [change.observation] : [])));
  const reference = ({ observation = '' }: StandingFinding): string => `Observation/${observation}`;
  const kept = before.findings.filter((finding) => !replaced.has(reference(finding)));
  const seen = findings.filter((change): change is Seen => change.change !== 'remove');
  const own = seen.map((change, i): StandingFinding => {
    const from = 'observation' in change ? before.findings.find((f) => reference(f) === change.observation) : undefined;
    return { ...asSeen(change, from), observation: written[i]!, physician };
  });
  const summary = Object.entries(stated).map(([name, value]): [string, number | null] => {
    const given = values.find(({ code }) => code === value.code.code);
    if (given) return [name, numbered(value, given.value)];
    return [name, findings.length > 0 ? null : (before.summary[name] ?? null)];
  });
  return { positive: positive === true, findings: [...kept, ...own], summary: Object.fromEntries(summary), physician };
}

/** Of the model's measures those stay that the change leaves true. */
function asSeen({ box: given, diameterMm, text }: Seen, from: StandingFinding | undefined): StandingFinding {
  const { sopInstanceUid, frame, ...box } = given ?? { sopInstanceUid: '', frame: 1, x: 0, y: 0, width: 0, height: 0 };
  const place = given ? { sopInstanceUid, frame, box, slices: [] } : placeOf(from!);
  const kept = {
    ...(from?.ofModel === undefined ? {} : { ofModel: from.ofModel }),
    ...(diameterMm === undefined && from?.diameterMm !== undefined ? { diameterMm: from.diameterMm } : {}),
    ...(!given && diameterMm === undefined && from?.volumeMm3 !== undefined ? { volumeMm3: from.volumeMm3 } : {}),
  };
  return { ...place, ...kept, ...(diameterMm === undefined ? {} : { diameterMm }), ...(text ? { text } : {}) };
}

function placeOf({ sopInstanceUid, frame, box, slices, centreMm, site, siteText }: StandingFinding) {
  return {
    sopInstanceUid,
    frame,
    box,
    slices,
    ...(centreMm ? { centreMm } : {}),
    ...(site ? { site } : {}),
    ...(siteText ? { siteText } : {}),
  };
}

/** A coded value is kept by its number in the manifest. */
function numbered(stated: Manifest['summary'][string], given: Review['values'][number]['value']): number | null {
  if (typeof given !== 'string') return given;
  const at = 'values' in stated ? stated.values.findIndex(({ code }) => code === given) : -1;
  return at < 0 ? null : at;
}
