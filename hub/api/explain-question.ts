import { z } from 'zod';
import { PURPOSES_OF_ROLE } from '../access/authentication/purposes-of-role.js';
import { type Caller, PURPOSES, ROLES } from '../access/caller.js';
import { type Hypothesis, REMOVABLE } from '../access/policy/hypothesis.js';
import { invalid } from '../outcomes.js';
import type { ResourceRow } from '../store/resources.js';
import { asked } from './asked.js';

const id = z.string().regex(/^[A-Za-z0-9\-.]{1,64}$/);
const codes = z.array(z.string().max(64)).min(1).max(50).optional();

/** What is asked: about a record, about whom, and under which assumption. */
const question = z.strictObject({
  resource: z.string().regex(/^[A-Za-z]{1,64}\/[A-Za-z0-9\-.]{1,64}$/),
  action: z.enum(['know', 'read', 'retrieve', 'write', 'score', 'disclose']),
  subject: z
    .strictObject({
      organization: id.optional(),
      practitioner: id.optional(),
      role: z.enum(ROLES).optional(),
      purpose: z.enum(PURPOSES).optional(),
    })
    .optional(),
  whatIf: z
    .strictObject({
      without: z
        .array(z.strictObject({ kind: z.enum(REMOVABLE), id }))
        .max(20)
        .optional(),
      agreement: z
        .strictObject({
          modality: codes,
          bodySite: codes,
          purpose: z.array(z.enum(PURPOSES)).min(1).optional(),
          notOlderThanDays: z.number().int().min(0).max(73_050).optional(),
        })
        .optional(),
    })
    .optional(),
});
export type ExplainQuestion = z.infer<typeof question>;

/** @throws Refusal 400 that names the element. */
export const readQuestion = (payload: unknown): ExplainQuestion => asked(question, payload);

/** Asked about oneself as one is, for another purpose perhaps, and without assumptions. */
export const isAboutSelf = (caller: Caller, { subject, whatIf }: ExplainQuestion): boolean =>
  whatIf === undefined &&
  subject?.practitioner === undefined &&
  (subject?.role ?? caller.role) === caller.role &&
  (subject?.organization ?? caller.organizationId) === caller.organizationId;

/**
 * Whom the question is about: oneself, or somebody of that role at that organization, a physician who treats unless it says otherwise.
 * @throws Refusal 400 for a role that does not act for the purpose, or a practitioner of no organization.
 */
export function subjectOf(caller: Caller, asked: ExplainQuestion): Caller {
  const { subject } = asked;
  if (!subject && !asked.whatIf) return caller;
  if (subject?.practitioner !== undefined && subject.organization === undefined)
    throw invalid('Name the organization that the practitioner acts for.', 'subject.organization');
  const isSelf = isAboutSelf(caller, { ...asked, whatIf: undefined });
  const role = subject?.role ?? (isSelf ? caller.role : 'physician');
  const purposeOfUse = subject?.purpose ?? (isSelf ? caller.purposeOfUse : PURPOSES_OF_ROLE[role][0]);
  const isOwn = isSelf && purposeOfUse === caller.purposeOfUse;
  if (!isOwn && !PURPOSES_OF_ROLE[role].includes(purposeOfUse))
    throw invalid(`The role ${role} does not act for ${purposeOfUse}.`, 'subject.purpose');
  if (isSelf) return { ...caller, purposeOfUse };
  return {
    ...caller,
    id: subject?.practitioner ? `Practitioner/${subject.practitioner}` : 'Account/what-if',
    role,
    organizationId: subject?.organization ?? caller.organizationId,
    purposeOfUse,
    patientId: undefined,
    relatedPersons: undefined,
    practitionerId: subject?.practitioner,
    exceptionalAccess: undefined,
  };
}

/** The assumptions; an assumed agreement is one of the record's custodian. */
export function hypothesisOf({ whatIf }: ExplainQuestion, row: ResourceRow): Hypothesis | undefined {
  if (!whatIf) return undefined;
  const { agreement, without = [] } = whatIf;
  const scope = agreement && {
    modality: agreement.modality ?? null,
    body_site: agreement.bodySite ?? null,
    purpose: agreement.purpose ?? null,
    not_older_than_days: agreement.notOlderThanDays ?? null,
  };
  return { without, ...(scope ? { agreement: { custodian: row.custodian_id, scope } } : {}) };
}

/** For the audit: what was asked about whom, assuming what. */
export function inShort(caller: Caller, asif: Caller, { action, whatIf }: ExplainQuestion): string {
  const whom = asif === caller ? '' : ` as ${asif.role} of ${asif.organizationId} for ${asif.purposeOfUse}`;
  const without = (whatIf?.without ?? []).map((w) => ` without ${w.kind} ${w.id}`).join('');
  return `${action}${whom}${without}${whatIf?.agreement ? ' with an agreement' : ''}`;
}
