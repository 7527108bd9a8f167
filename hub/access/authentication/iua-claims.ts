import { systems } from '../../../fhir-profiles/codes.js';
import type { JWTPayload } from 'jose';
import { z } from 'zod';
import { NotAuthentic } from './not-authentic.js';

/** What a token or a request says about the capacity in which someone acts. Absent: not said. */
export interface AssertedContext {
  organizationId?: string;
  role?: string;
  purpose?: string;
}

export const ROLE_SYSTEM = systems.role;
export const PURPOSE_SYSTEM = 'http://terminology.hl7.org/CodeSystem/v3-ActReason';

const coding = z.union([z.string().max(200), z.looseObject({ code: z.string().max(200) }).transform((c) => c.code)]);
/** One code, written as IUA does (a list of codings) or plainly. Two are refused: a token acts in one capacity. */
const oneCode = z.union([coding, z.tuple([coding]).transform(([code]) => code)]).optional();
const claims = z.looseObject({
  subject_organization_id: z.string().max(500).optional(),
  subject_role: oneCode,
  purpose_of_use: oneCode,
});

/** Reads `extensions.ihe_iua` (IHE ITI TF-2 3.71.4.1.2.1.1, JWT access token). @throws {NotAuthentic} when it is not as IUA has it */
export function assertedContext(payload: JWTPayload): AssertedContext {
  const extension = (payload['extensions'] as { ihe_iua?: unknown } | undefined)?.ihe_iua;
  if (extension === undefined) return {};
  const read = claims.safeParse(extension);
  if (!read.success) throw new NotAuthentic('IUA claims');
  return {
    organizationId: read.data.subject_organization_id?.replace(/^.*\/Organization\//, ''),
    role: read.data.subject_role,
    purpose: read.data.purpose_of_use,
  };
}

/** Writes the same claims. @param organization its id, or '' for a patient, who acts for none */
export function iuaClaims(publicUrl: string, organizationId: string, role: string, purpose: string): JWTPayload {
  return {
    extensions: {
      ihe_iua: {
        ...(organizationId ? { subject_organization_id: `${publicUrl}/fhir/Organization/${organizationId}` } : {}),
        subject_role: [{ system: ROLE_SYSTEM, code: role }],
        purpose_of_use: [{ system: PURPOSE_SYSTEM, code: purpose }],
      },
    },
  };
}
