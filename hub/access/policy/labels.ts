import { systems } from '../../../fhir-profiles/codes.js';
import { raw, type Sql, sql } from '../../store/sql.js';

/** HL7 v3 Confidentiality from unrestricted to very restricted; the rank is the place. */
export const CONFIDENTIALITY = ['U', 'L', 'M', 'N', 'R', 'V'] as const;

export const NORMAL = CONFIDENTIALITY.indexOf('N');
export const RESTRICTED = CONFIDENTIALITY.indexOf('R');
export const VERY_RESTRICTED = CONFIDENTIALITY.indexOf('V');

const LEVEL = `${systems.confidentiality}|`;
/** Sensitivities (PSY, HIV, SEX, ...) are ActCodes, and so are obligations and refrains (NODSCLCD): whatever stands here asks for care. */
const SENSITIVITY = `${systems.actCode}|`;

/** Rank of a code of Confidentiality; undefined for none. */
export function rankOf(code: string | undefined): number | undefined {
  const rank = CONFIDENTIALITY.indexOf(code as (typeof CONFIDENTIALITY)[number]);
  return rank < 0 ? undefined : rank;
}

const isSensitivity = (label: string): boolean => label.startsWith(SENSITIVITY);

/**
 * How confidential a record with these labels (`system|code`) is: the highest counts (FHIR R4 Consent.provision.securityLabel: a high-water mark). A
 * record without such a label is normal, one with a sensitivity at least restricted, one whose level is not known very restricted.
 */
export function levelOf(labels: readonly string[]): number {
  const ranks = labels.flatMap((label) =>
    label.startsWith(LEVEL) ? (rankOf(label.slice(LEVEL.length)) ?? VERY_RESTRICTED) : isSensitivity(label) ? RESTRICTED : [],
  );
  return ranks.length === 0 ? NORMAL : Math.max(...ranks);
}

export const sensitivitiesOf = (labels: readonly string[]): string[] => labels.filter(isSensitivity);

/** The same over alias `r`. Constants of the source, no input. */
export const levelOfRow: Sql = raw(`(select coalesce(max(case
    ${CONFIDENTIALITY.map((code, rank) => `when l = '${LEVEL}${code}' then ${rank}`).join(' ')}
    when starts_with(l, '${LEVEL}') then ${VERY_RESTRICTED} when starts_with(l, '${SENSITIVITY}') then ${RESTRICTED} end), ${NORMAL})
  from unnest(r.labels) l)`);

/** Every sensitivity of the record is among these. */
export const sensitivitiesOfRowWithin = (column: Sql): Sql =>
  sql`not exists (select from unnest(r.labels) l where starts_with(l, ${raw(`'${SENSITIVITY}'`)}) and l <> all(${column}))`;
