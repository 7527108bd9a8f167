/** A report after a physician's word on it, and where that comes from: pure. */
import { systems } from '../../../fhir-profiles/codes.js';
import type { Caller } from '../../access/caller.js';
import { newId, type ResourceRow } from '../../store/resources.js';
import type { FhirResource } from '../../store/search-keys.js';
import { UNCHECKED } from '../results.js';
import { type By, CLINICIAN, type Observation } from './corrected.js';
import type { Correction } from './correction.js';
import type { Review } from './review.js';

type Report = FhirResource & { id: string };

export interface Word {
  review: Review;
  correction: Correction;
  by: By;
  caller: Caller;
  positive: boolean;
  /** The version that was reviewed. */
  before: number;
  /** What the report said before it was rejected, where it was. */
  withdrawn: string | undefined;
}

/** `final` once accepted, `corrected` once corrected, `entered-in-error` once rejected: R4 diagnostic-report-status. The mark of the machine stays, a physician's is put beside it. */
export function reviewedReport(report: Report, word: Word): Report {
  const { review, correction, by } = word;
  const interpreters =
    review.decision === 'accept' && report.status !== 'entered-in-error' ? (report.resultsInterpreter ?? []) : [];
  const others = interpreters.filter((r: { reference?: string }) => r.reference !== by.practitioner.reference);
  return {
    ...report,
    meta: { ...report.meta, tag: reviewedTag(report) },
    status: STATUS[review.decision](report.status),
    issued: by.now,
    resultsInterpreter: [...others, by.practitioner],
    result: correction.result.map((id) => ({ reference: `Observation/${id}` })),
    conclusion: conclusionOf(report, word),
    ...(report.presentedForm
      ? { presentedForm: report.presentedForm.map((form: object) => ({ ...form, ...documentIn(word) })) }
      : {}),
  };
}

const documentIn = ({ review, by }: Word) => ({
  title:
    review.decision === 'reject'
      ? 'Rejection note (DICOM TID 2010)'
      : 'Structured report (DICOM TID 1500), verified by a physician',
  creation: by.now,
});

const STATUS: Readonly<Record<Review['decision'], (before: string) => string>> = {
  accept: (before) => (before === 'corrected' ? 'corrected' : 'final'),
  correct: () => 'corrected',
  reject: () => 'entered-in-error',
};

/** A clinician's mark beside the others. */
export const reviewedTag = ({ meta }: Pick<FhirResource, 'meta'>): { system?: string; code?: string }[] => [
  ...((meta?.tag ?? []) as { code?: string }[]).filter((t) => t.code !== CLINICIAN.code),
  CLINICIAN,
];

function conclusionOf(report: Report, { review, correction, by, caller, positive, before, withdrawn }: Word): string {
  const who = `${by.practitioner.display} (${by.practitioner.reference}, Organization/${caller.organizationId}), ${by.now}`;
  const own = review.text ? [review.text] : [];
  const machine = `What was said before is version ${before} of this report.`;
  if (review.decision === 'accept') {
    const text: string = withdrawn ?? report.conclusion ?? '';
    return [`Accepted by ${who}.`, ...own, text.replace(`${UNCHECKED}\n`, '')].join('\n');
  }
  if (review.decision === 'reject')
    return [`REJECTED, not to be used, by ${who}. Reason: ${review.reason}.`, ...own, machine].join('\n');
  const { removed, added, changed, values } = correction.counts;
  return [
    `Corrected by ${who}. Reason: ${review.reason}.`,
    `The whole: ${positive ? 'positive' : 'negative'}. Findings: ${removed} removed, ${added} added, ${changed} changed; ${values} values changed; ${correction.result.length - 1} findings stand.`,
    ...own,
    machine,
  ].join('\n');
}

/** Who decided, in whose name, and on which version: with the machine's Provenance of that version the whole chain. */
export function reviewProvenance({
  review,
  report,
  by,
  caller,
  before,
  written,
}: Omit<Word, 'correction' | 'positive' | 'withdrawn'> & { report: ResourceRow; written: readonly ResourceRow[] }): Observation {
  const agent = (type: string) => ({
    type: { coding: [{ system: systems.provenanceParticipantType, code: type }] },
    who: by.practitioner,
    onBehalfOf: { reference: `Organization/${caller.organizationId}` },
  });
  return {
    resourceType: 'Provenance',
    id: newId(),
    target: [report, ...written].map(({ type, id, version }) => ({ reference: `${type}/${id}/_history/${version}` })),
    occurredDateTime: by.now,
    recorded: by.now,
    reason: [{ coding: [{ system: systems.reviewReason, code: review.reason ?? 'agreed' }] }],
    activity: { coding: [{ system: systems.reviewDecision, code: review.decision }] },
    agent: review.decision === 'correct' ? [agent('verifier'), agent('author')] : [agent('verifier')],
    entity: [{ role: 'revision', what: { reference: `DiagnosticReport/${report.id}/_history/${before}` } }],
  };
}
