import { FINDING_COUNT, type Manifest } from '../../../models/manifest.js';
import { refused } from '../../access/write-rules.js';
import type { Queryable } from '../../store/database.js';
import { findResource, type ResourceRow, toResource } from '../../store/resources.js';
import { addedFinding, type By, changedFinding, correctedSummary, type Observation } from './corrected.js';
import type { FindingChange, Review } from './review.js';

/** What a correction makes of the Observations of a report. */
export interface Correction {
  created: Observation[];
  /** Of those that no longer stand: id, and the id of what stands in their place; '' for none. */
  replaced: ReadonlyMap<string, string>;
  /** Ids that the report refers to now, the one about the whole first. */
  result: string[];
  counts: { removed: number; added: number; changed: number; values: number };
}

/**
 * @param rows the Observations of the report, the one about the whole first.
 * @param model absent where it is no longer carried here.
 * @throws Refusal 422 for a finding that is not the report's, a box on an image that is not the study's, a value that can't be one, and a whole that contradicts the
 * findings that stand.
 */
export async function applyCorrection(
  tx: Queryable,
  model: Manifest | undefined,
  rows: readonly ResourceRow[],
  studyId: string,
  review: Review,
  by: By,
): Promise<Correction> {
  const [summary, ...findings] = rows.map(toResource);
  if (review.decision !== 'correct' || !summary) return unchanged(rows);
  await assertOnStudy(tx, studyId, review.findings);
  const replaced = new Map<string, string>();
  const created = review.findings.flatMap((change): Observation[] => {
    if (change.change === 'add') return [addedFinding(summary, codesOf(model, findings), change, by)];
    const from = findings.find((f) => `Observation/${f.id}` === change.observation);
    if (!from) throw refused('This is no finding of the report.', 'findings');
    const next = change.change === 'change' ? changedFinding(from, summary, change, by) : undefined;
    replaced.set(from.id, next?.id ?? '');
    return next ? [next] : [];
  });
  const whole = correctedSummary(summary, review, model?.summary, by);
  replaced.set(summary.id, whole.id);
  const kept = findings.filter((f) => !replaced.has(f.id));
  assertAgrees(review, model, kept.length + created.length);
  const count = (kind: FindingChange['change']): number => review.findings.filter((f) => f.change === kind).length;
  return {
    created: [whole, ...created],
    replaced,
    result: [whole, ...kept, ...created].map((o) => o.id),
    counts: { removed: count('remove'), added: count('add'), changed: count('change'), values: review.values.length },
  };
}

/** What is said of the whole, beside how many findings stand. */
function assertAgrees({ positive, values }: Review, model: Manifest | undefined, standing: number): void {
  if (positive === false && standing > 0)
    throw refused(`The whole is not negative while findings stand (${standing}): they are removed first.`, 'positive');
  const count = model?.summary[FINDING_COUNT]?.code.code;
  const at = values.findIndex(({ code, value }) => code === count && value !== null && value !== standing);
  if (at >= 0) throw refused(`The findings that stand are ${standing}.`, `values[${at}].value`);
}

const unchanged = (rows: readonly ResourceRow[]): Correction => ({
  created: [],
  replaced: new Map(),
  result: rows.map((row) => row.id),
  counts: { removed: 0, added: 0, changed: 0, values: 0 },
});

function codesOf(model: Manifest | undefined, findings: readonly Observation[]): Manifest['findingCodes'] {
  const codes = model?.findingCodes ?? findings[0]?.code?.coding;
  if (!codes) throw refused('What the model finds is not known here any more: no finding can be added.', 'findings');
  return codes;
}

/** A box lies on an image that the index has in the study. */
async function assertOnStudy(tx: Queryable, studyId: string, changes: readonly FindingChange[]): Promise<void> {
  const boxes = changes.flatMap((change) => ('box' in change && change.box ? [change.box] : []));
  if (boxes.length === 0) return;
  const row = await findResource(tx, 'ImagingStudy', studyId);
  const series: { instance?: { uid?: string }[] }[] = row ? (toResource(row).series ?? []) : [];
  const known = new Set(series.flatMap((s) => s.instance ?? []).map((i) => i.uid));
  if (boxes.some((box) => !known.has(box.sopInstanceUid))) throw refused('The image is not one of the study.', 'findings');
}
