import { and, raw, type Sql, sql } from '../../store/sql.js';
import { levelOf, levelOfRow, RESTRICTED, sensitivitiesOf, sensitivitiesOfRowWithin } from './labels.js';
import { type ConsentRule, eachTime, type Seen, type Term, when } from './terms.js';

/** Who asks, as consents name recipients. */
export interface ConsentCaller {
  /** `Organization/x`, `Practitioner/x`, `Group/x`. */
  actors: readonly string[];
  purpose: string;
  /** Only consents that name BTG count, and those that refer to one of these policies (`*`: all). Undefined: every consent counts. */
  breakGlass?: readonly string[];
}

/** The record is at least this confidential (rank in `CONFIDENTIALITY`). */
export const confidential = (level: number): Term => ({
  // most records carry no label
  sql: sql`(r.labels <> '{}' and ${levelOfRow} >= ${level}::integer)`,
  test: ({ row }) => when(levelOf(row.labels) >= level),
});

/**
 * A consent of the patient in force says this about the caller, the purpose and the record. The innermost matching provision of a Consent
 * speaks for it, and of several a denial counts: so a provision speaks when none that is nested in it matches and says the opposite.
 * Across several Consents a denial counts too: a permit is to be asked beside it. A permit that a hospital recorded counts for its own Patient's
 * records alone, a denial everywhere: no hospital opens to itself what another holds.
 * @param byLabel only provisions that name the label of the record, and may lift it.
 */
export function consentSays(decision: 'permit' | 'deny', caller: ConsentCaller, byLabel = false): Term {
  const opposite = decision === 'permit' ? 'deny' : 'permit';
  const counts = decision === 'deny' ? caller.breakGlass : undefined;
  return {
    sql: eachTime(sql`
      from consent_rule c
      where c.patient_id = r.patient_id and c.decision = ${raw(`'${decision}'`)} and ${countsSql(counts)}
        ${raw(decision === 'permit' ? 'and c.lifts' : '')} ${raw(byLabel ? 'and (c.level is not null or c.sensitivity is not null)' : '')} and ${matchesSql('c', decision, caller)}
        and not exists (
          select from consent_rule d
          where d.consent_id = c.consent_id and d.patient_id = r.patient_id and d.place > c.place and d.place <= c.last
            and d.decision = ${raw(`'${opposite}'`)} and ${matchesSql('d', opposite, caller)})`),
    test: (seen) => {
      const matching = seen.consents.filter((c) => matches(c, caller, seen));
      const found = matching.filter(
        (c) =>
          c.decision === decision &&
          isCounted(c, counts) &&
          (decision === 'deny' || c.lifts) &&
          (!byLabel || c.level !== null || c.sensitivity !== null) &&
          !matching.some((d) => isNested(d, c) && d.decision !== decision),
      );
      return when(
        found.length > 0,
        ...found.map((c) => ({ kind: 'consent', id: c.id, version: c.version, provision: c.provision })),
      );
    },
  };
}

const isNested = (inner: ConsentRule, outer: ConsentRule): boolean =>
  inner.id === outer.id && inner.place > outer.place && inner.place <= outer.last;

const countsSql = (policies: ConsentCaller['breakGlass']): Sql =>
  policies === undefined || policies.includes('*') ? raw('true') : sql`(c.btg or c.policy && ${policies}::text[])`;

const isCounted = (c: ConsentRule, policies: ConsentCaller['breakGlass']): boolean =>
  policies === undefined || policies.includes('*') || c.btg || c.policy.some((uri) => policies.includes(uri));

/** The provision is about this caller and this record, now. `decision` is that of the provision: it says how labels and dates are compared. */
function matchesSql(alias: 'c' | 'd', decision: 'permit' | 'deny', { actors, purpose }: ConsentCaller): Sql {
  const c = (column: string): Sql => raw(`${alias}.${column}`);
  return and([
    sql`(${c('actor')} is null or ${c('actor')} && ${actors}::text[])`,
    sql`(${c('purpose')} is null or ${purpose} = any(${c('purpose')}))`,
    sql`${c('valid_from')} <= now() and now() < ${c('valid_until')}`,
    sql`(${c('holder')} is null or r.custodian_id = any(${c('holder')}))`,
    sql`(${c('class')} is null or r.type = any(${c('class')}))`,
    sql`(${c('level')} is null and ${c('sensitivity')} is null or ${labelSql(c, decision)})`,
    sql`(${c('data')} is null or ${dataSql(c)})`,
    sql`(${c('data_from')} is null and ${c('data_until')} is null or ${datedSql(c, decision)})`,
  ]);
}

function matches(c: ConsentRule, { actors, purpose }: ConsentCaller, seen: Seen): boolean {
  const { row, now } = seen;
  return (
    (c.actor === null || c.actor.some((actor) => actors.includes(actor))) &&
    (c.purpose === null || c.purpose.includes(purpose)) &&
    (c.from === null || c.from <= now) &&
    (c.until === null || now < c.until) &&
    (c.holder === null || c.holder.includes(row.custodian_id)) &&
    (c.class === null || c.class.includes(row.type)) &&
    ((c.level === null && c.sensitivity === null) || isLabelled(c, row.labels)) &&
    (c.data === null || isAboutData(c, seen)) &&
    ((c.data_from === null && c.data_until === null) || isDated(c, seen))
  );
}

type Column = (name: string) => Sql;

/**
 * A permit covers its level and what is lower, or records all of whose sensitivities it names; a sensitivity makes a record restricted, so
 * naming it opens that too. A denial covers its level and what is higher, and every record with a label that it names.
 */
const labelSql = (c: Column, decision: 'permit' | 'deny'): Sql =>
  decision === 'permit'
    ? sql`coalesce(${levelOfRow} <= ${c('level')}, false)
        or coalesce(r.labels && ${c('sensitivity')} and ${levelOfRow} <= ${RESTRICTED}::integer and ${sensitivitiesOfRowWithin(c('sensitivity'))}, false)`
    : sql`coalesce(${levelOfRow} >= ${c('level')}, false) or coalesce(r.labels && ${c('sensitivity')}, false)`;

function isLabelled({ decision, level, sensitivity }: ConsentRule, labels: readonly string[]): boolean {
  const isNamed = sensitivity?.some((label) => labels.includes(label)) === true;
  if (decision === 'deny') return isNamed || (level !== null && levelOf(labels) >= level);
  const namesAll = sensitivitiesOf(labels).every((label) => sensitivity?.includes(label));
  return (isNamed && namesAll && levelOf(labels) <= RESTRICTED) || (level !== null && levelOf(labels) <= level);
}

const dataSql = (c: Column): Sql => sql`coalesce((r.type || '/' || r.id) = any(${c('data')}), false)
  or coalesce(r.refers && ${c('data_refers')}, false)
  or coalesce(r.authors && ${c('author')} or ('Organization/' || r.custodian_id) = any(${c('author')}), false)
  or coalesce(r.authors = '{}' and '?' = any(${c('author')}), false)
  or ${referredSql(c('data_referred'))}`;

/** One of these records (`Type/id`) refers to the record. For alias `r`. */
export const referredSql = (targets: Sql): Sql => sql`exists (
    select from unnest(${targets}) t join resource x on x.type = split_part(t, '/', 1) and x.id = split_part(t, '/', 2)
    where (r.type || '/' || r.id) = any(x.refers))`;

function isAboutData(c: ConsentRule, { row, refers, authors }: Seen): boolean {
  const named = [...authors, `Organization/${row.custodian_id}`, ...(authors.length === 0 ? ['?'] : [])];
  return (
    c.data?.includes(`${row.type}/${row.id}`) === true ||
    refers.some((target) => c.data_refers?.includes(target)) ||
    named.some((author) => c.author?.includes(author)) ||
    c.referred
  );
}

/** A permit covers records that surely lie inside its period, a denial those that may touch it. The date of a Patient is a birth date: it dates no record. */
const datedSql = (c: Column, decision: 'permit' | 'deny'): Sql =>
  decision === 'permit'
    ? sql`r.type <> 'Patient' and coalesce(r.date_from >= ${c('data_from')}, ${c('data_from')} is null) and coalesce(r.date_until <= ${c('data_until')}, ${c('data_until')} is null)`
    : sql`r.type = 'Patient' or coalesce(r.date_from < ${c('data_until')}, true) and coalesce(r.date_until > ${c('data_from')}, true)`;

function isDated({ decision, data_from, data_until }: ConsentRule, { row, dateUntil }: Seen): boolean {
  if (row.type === 'Patient') return decision === 'deny';
  const from = row.date_from === null ? null : row.date_from.getTime() * 1000;
  if (decision === 'permit')
    return (
      (data_from === null || (from !== null && from >= data_from)) &&
      (data_until === null || (dateUntil !== null && dateUntil <= data_until))
    );
  return (
    (data_until === null || from === null || from < data_until) &&
    (data_from === null || dateUntil === null || dateUntil > data_from)
  );
}
