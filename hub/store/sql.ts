import type { Protection } from './protection.js';

/** A parameter that only the keys of the database at hand can make: what of a value is stored, sealed or as its blind index. */
export class Keyed {
  constructor(readonly under: (protection: Protection) => unknown) {}
}

/** A parameter that is computed under the keys of the database where the statement runs; the statement itself is built without them. */
export const keyed = (under: (protection: Protection) => unknown): Keyed => new Keyed(under);

/**
 * SQL as values. `sql` keeps text and parameters together, so that a predicate can be written once and placed in any statement;
 * nothing is ever concatenated from input.
 */
export class Sql {
  constructor(
    readonly strings: readonly string[],
    readonly values: readonly unknown[],
  ) {}

  /** Text with `$1..$n` and the parameters in order, as `pg` takes them. */
  toQuery(protection?: Protection): { text: string; values: unknown[] } {
    const values: unknown[] = [];
    const text = render(this, values);
    return { text, values: values.map((value) => (value instanceof Keyed ? value.under(known(protection)) : value)) };
  }
}

function known(protection: Protection | undefined): Protection {
  if (!protection) throw new Error('a statement with protected values needs the keys of its database');
  return protection;
}

function render(part: Sql, values: unknown[]): string {
  let text = part.strings[0] ?? '';
  part.values.forEach((value, i) => {
    if (value instanceof Sql) text += render(value, values);
    else {
      values.push(value);
      text += `$${values.length}`;
    }
    text += part.strings[i + 1] ?? '';
  });
  return text;
}

/** Tagged template: interpolated values become parameters, interpolated `Sql` is spliced in. */
export function sql(strings: TemplateStringsArray, ...values: unknown[]): Sql {
  return new Sql(strings, values);
}

/** A constant piece of SQL written in the source (a column, a direction); never input. */
export function raw(text: string): Sql {
  return new Sql([text], []);
}

/** Joins pieces; an empty list gives `whenEmpty`. */
export function join(parts: readonly Sql[], separator: string, whenEmpty = ''): Sql {
  if (parts.length === 0) return raw(whenEmpty);
  const strings = ['', ...parts.slice(1).map(() => separator), ''];
  return new Sql(strings, parts);
}

/** Conjunction; an empty one is true. */
export const and = (parts: readonly Sql[]): Sql => (parts.length === 0 ? raw('true') : sql`(${join(parts, ' and ')})`);

/** Disjunction; an empty one is false: no rule, no row. */
export const or = (parts: readonly Sql[]): Sql => (parts.length === 0 ? raw('false') : sql`(${join(parts, ' or ')})`);

/** One value is compared by itself: for a list whose length is unknown the planner would make a new plan each time. */
export const oneOf = (column: Sql, values: readonly string[]): Sql =>
  values.length === 1 ? sql`${column} = ${values[0]}` : sql`${column} = any(${values}::text[])`;
