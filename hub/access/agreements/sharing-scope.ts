import { extensions } from '../../../fhir-profiles/codes.js';
import type { FhirResource } from '../../store/search-keys.js';
import { refused } from '../write-rules.js';

export interface Extension {
  url: string;
  valueUri?: string;
  valueCode?: string;
  valueCoding?: { code?: string };
  valueDuration?: { value?: number; code?: string };
  extension?: Extension[];
}

export const extensionOf = (resource: FhirResource, url: string): Extension | undefined =>
  ((resource.extension ?? []) as Extension[]).find((e) => e.url === url);

/** What a charter, a membership or an agreement covers, as the fact tables hold it; null limits nothing. */
export interface Limits {
  modality: string[] | null;
  bodySite: string[] | null;
  purpose: string[] | null;
  notOlderThanDays: number | null;
  /** Each series of a study is looked at by itself; absent: a study is covered only when everything in it is. */
  bySeries?: true;
  /** Studies may be scored, and nothing of them is shown; absent: what is covered is seen and scored. */
  scoreOnly?: true;
}

const UNLIMITED: Limits = { modality: null, bodySite: null, purpose: null, notOlderThanDays: null };

const KNOWN = ['modality', 'bodySite', 'purpose', 'notOlderThan', 'granularity', 'right'];

/** UCUM: a year is 365.25 days, a month a twelfth of it. */
const DAYS: Readonly<Record<string, number>> = { d: 1, mo: 365.25 / 12, a: 365.25 };
const LONGEST_DAYS = 73_050;

/** The limits of a resource's sharing scope; without one it limits nothing. @throws Refusal 422 for a limit that can't be read: it would otherwise limit nothing. */
export function limitsOf(resource: FhirResource): Limits {
  const scope = extensionOf(resource, extensions.sharingScope);
  if (!scope) return UNLIMITED;
  const at = `${resource.resourceType}.extension`;
  const limits = scope.extension ?? [];
  const unknown = limits.find((limit) => !KNOWN.includes(limit.url));
  if (unknown) throw refused(`The limit '${unknown.url}' is not known.`, at);
  const codes = (url: string): string[] | null => {
    const values = limits.filter((limit) => limit.url === url).map((limit) => limit.valueCoding?.code ?? '');
    if (values.includes('')) throw refused(`The limit '${url}' needs a code.`, at);
    return values.length === 0 ? null : values;
  };
  const granularity = choice(limits, 'granularity', ['study', 'series'], at);
  const right = choice(limits, 'right', ['use', 'score'], at);
  if (granularity === 'series' && right === 'score') throw refused('Parts of studies are seen, and not scored.', at);
  const age = limits.find((limit) => limit.url === 'notOlderThan');
  return {
    modality: codes('modality'),
    bodySite: codes('bodySite'),
    purpose: codes('purpose'),
    notOlderThanDays: age ? daysOf(age, at) : null,
    ...(granularity === 'series' ? { bySeries: true } : {}),
    ...(right === 'score' ? { scoreOnly: true } : {}),
  };
}

/** One of two codes, the first where none is given. */
function choice<T extends string>(limits: readonly Extension[], url: string, codes: readonly [T, T], at: string): T {
  const given = limits.filter((limit) => limit.url === url).map((limit) => limit.valueCode);
  const chosen = codes.find((code) => code === (given[0] ?? codes[0]));
  if (given.length > 1 || !chosen) throw refused(`The ${url} is ${codes.join(' or ')}.`, at);
  return chosen;
}

function daysOf({ valueDuration: age }: Extension, at: string): number {
  const days = Math.floor((age?.value ?? Number.NaN) * (DAYS[age?.code ?? ''] ?? Number.NaN));
  if (!(days >= 0 && days <= LONGEST_DAYS)) throw refused('The age is a number of d, mo or a (UCUM), at most 200 years.', at);
  return days;
}
