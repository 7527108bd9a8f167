import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { createAccess, type PolicyAccess } from '../../../hub/access/create-access.js';
import type { Queryable } from '../../../hub/store/database.js';
import { Sql } from '../../../hub/store/sql.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';
import { compare, compareConsents } from './agreement.js';
import { type Asker, askers, consentWorlds, crowdedWorlds, SETTINGS, isLeapDay, type World, worlds } from './world.js';
import { inForce } from './oracle.js';
import { agreementsOf, inWorld, openInstant } from './world-database.js';

/**
 * Where each mistake is known to tell: the world, and the caller who notices it. Printed by a run with TELLING_WORLDS set; where worlds or callers have
 * changed since, the test looks everywhere, takes longer and says the same.
 */
const TELLING: Readonly<Record<string, readonly [world: number, asker: number]>> = {
  'a linked Patient counts as own': [0, 0],
  'denies are left out': [0, 0],
  'an appointed guardian’s part ends with majority': [0, 15],
  'a stranger is registered': [1, 0],
  'guardians of others count': [1, 14],
  'an agreement works in the other direction': [2, 1],
  'a date on the boundary is too old': [2, 1],
  'what is undated is covered': [2, 1],
  'a parent acts at the instant of majority': [2, 15],
  'a parent acts for adults': [2, 15],
  'agreements on whole studies open parts': [2, 1],
  'restricted labels are not looked at': [2, 1],
  'series of another custodian are covered': [4, 3],
  'what has no known modality is covered': [6, 3],
  'one modality of several is enough': [6, 3],
  'other members of a consortium count without membership': [6, 3],
  'a suspended hospital’s guardians count': [8, 15],
  'a practitioner’s grant is his hospital’s': [9, 3],
  'a guardian begins after the first instant': [10, 15],
  'a series that does not say is covered': [10, 2],
  'an agreement begins after its first instant': [11, 2],
  'the modality of a series is compared as its body site': [11, 2],
  'a grant outlives its Task': [13, 1],
  'a grant is valid at its last instant': [16, 15],
  'a guardian is one at the last instant of the period': [16, 15],
  'a membership that has ended is still valid': [17, 3],
  'a consent that names no label opens what is restricted': [17, 4],
  'agreements to score open what they cover': [27, 1],
  'an agreement that has ended is still valid at its last instant': [31, 3],
  'a grant holds under another custodian': [41, 2],
  'a session opens everybody': [0, 2],
  'only the named Patient is opened': [0, 2],
  'a Patient that is no longer linked stays open': [2, 2],
  'a session outlives its end': [4, 0],
  'a link with a Patient that was not named opens': [15, 0],
  'a session is valid at its last instant': [16, 2],
  'a session begins after its first instant': [31, 0],
  'another person’s session opens': [43, 2],
  'a session goes with its person to another hospital': [46, 2],
  'an unconfirmed case opens': [48, 2],
  'a consent about another purpose holds': [0, 0],
  'an exception is its parent’s': [0, 0],
  'the last exception counts for nothing': [0, 0],
  'every provision is nested in every other': [0, 0],
  'a consent is an exception to another': [0, 0],
  'an exception for other data holds': [0, 0],
  'a permit ends below its level': [0, 0],
  'a sensitivity restricts nothing': [0, 0],
  'what a record refers to is not looked at': [0, 0],
  'what refers to a record is not looked at': [0, 0],
  'an author who is not named is another': [0, 0],
  'a general denial stops the breaking of the glass': [0, 0],
  'a hospital’s permit opens what another holds': [1, 0],
  'a consent about another actor holds': [1, 0],
  'a record on the first instant of a permit is outside': [1, 0],
  'a record to the last instant of a permit is outside': [1, 0],
  'a denial begins above its level': [4, 0],
  'an author is not looked at': [12, 0],
  'the holder is no author': [12, 0],
  'a consent begins after its first instant': [17, 0],
  'the class of the record is not looked at': [17, 0],
  'a consent that names break-glass does not decide on it': [17, 0],
  'a record by name is not looked at': [21, 0],
  'a record without an end is permitted': [24, 0],
  'a record after a denial touches it': [27, 0],
  'a record without a date is not denied': [27, 0],
  'a consent that has ended still holds': [32, 0],
  'the holder of the record is not looked at': [49, 0],
  'a record before a denial touches it': [61, 0],
  'one sensitivity of several is enough': [79, 0],
  'a denied label is not looked at': [139, 0],
  'an exception for another actor holds': [154, 0],
  'an exception that has ended still holds': [203, 0],
  'a level that is not known is normal': [220, 0],
};

/** On the 29th of February nobody has such an instant. */
const AT_MAJORITY = 'a parent acts at the instant of majority';

let database: TestDatabase;
let instant: Awaited<ReturnType<typeof openInstant>>;

beforeAll(async () => {
  database = await testDatabase();
  instant = await openInstant(database.db);
});
afterAll(async () => {
  await instant.close();
  await database.close();
});

describe('the equality of the policy in its two forms', () => {
  const mutants: [name: string, from: string | RegExp, to: string][] = [
    ['an agreement that has ended is still valid at its last instant', 'now() < a.valid_until', 'now() <= a.valid_until'],
    ['an agreement begins after its first instant', 'a.valid_from <= now()', 'a.valid_from < now()'],
    ['an agreement works in the other direction', 'a.recipient_id =', 'a.custodian_id ='],
    ['a membership that has ended is still valid', 'now() < other.valid_until', 'now() <= other.valid_until'],
    ['a grant outlives its Task', 'and g.ended_at is null', ''],
    ['a practitioner’s grant is his hospital’s', 'g.practitioner_id is null or', 'true or'],
    ['a grant is valid at its last instant', 'now() < g.valid_until', 'now() <= g.valid_until'],
    ['a grant holds under another custodian', "and r.id || ' ' || r.custodian_id = any(", "and '' <> all("],
    ['a date on the boundary is too old', 'r.date_from >= ', 'r.date_from > '],
    ['what is undated is covered', '(r.date_from is not null and', '(r.date_from is null or'],
    ['what has no known modality is covered', " <> '{}' and", ' is not null and'],
    ['one modality of several is enough', ' <@ ', ' && '],
    ['a stranger is registered', /and g\.patient_id = r\.patient_id limit/, 'limit'],
    ['a linked Patient counts as own', /and g\.own limit/, 'limit'],
    ['denies are left out', 'not ', 'null is null or '],
    ['other members of a consortium count without membership', 'other.consortium_id = k.id and', ''],
    [
      'a guardian is one at the last instant of the period',
      'now() < g.valid_until\n    and (g.kind',
      'now() <= g.valid_until\n    and (g.kind',
    ],
    [
      'a guardian begins after the first instant',
      'and g.valid_from <= now() and now() < g.valid_until\n    and (g.kind',
      'and g.valid_from < now() and now() < g.valid_until\n    and (g.kind',
    ],
    [AT_MAJORITY, 'or now() < ((p.date_from', 'or now() <= ((p.date_from'],
    ['a parent acts for adults', "(g.kind = 'guardian'", "(g.kind <> ''"],
    ['an appointed guardian’s part ends with majority', "(g.kind = 'guardian'", "(g.kind = ''"],
    ['guardians of others count', 'g.related_person_id = any(', "g.related_person_id <> all('{}') or '' = any("],
    ['a suspended hospital’s guardians count', 'o.id = g.custodian_id and o.active\n  join', 'o.id = g.custodian_id\n  join'],
    ['a series that does not say is covered', '::text[]), false)', '::text[]), true)'],
    ['the modality of a series is compared as its body site', "coalesce(s->'modality'", "coalesce(s->'bodySite'"],
    ['series of another custodian are covered', '(r.custodian_id in (', "('' not in ("],
    ['agreements to score open what they cover', "'scoreOnly', a.score_only", "'scoreOnly', false"],
    ['agreements on whole studies open parts', "'bySeries', a.by_series", "'bySeries', true"],
    ['restricted labels are not looked at', "(r.labels <> '{}' and", '(false and'],
    ['a consent that names no label opens what is restricted', 'and (c.level is not null or c.sensitivity is not null)', ''],
  ];

  const consentMutants: typeof mutants = [
    ['a hospital’s permit opens what another holds', 'and c.lifts', ''],
    ['a consent that has ended still holds', 'now() < c.valid_until', 'now() <= c.valid_until'],
    ['a consent begins after its first instant', 'c.valid_from <= ', 'c.valid_from < '],
    ['a consent about another purpose holds', '(c.purpose is null or', '(true or'],
    ['a consent about another actor holds', '(c.actor is null or', '(true or'],
    ['an exception is its parent’s', 'd.place > c.place', 'd.place < c.place'],
    ['the last exception counts for nothing', 'd.place <= c.last', 'd.place < c.last'],
    ['every provision is nested in every other', 'd.place > c.place and d.place <= c.last', 'd.place <> c.place'],
    ['a consent is an exception to another', 'd.consent_id = c.consent_id and ', ''],
    ['an exception that has ended still holds', 'now() < d.valid_until', 'now() <= d.valid_until'],
    ['an exception for another actor holds', '(d.actor is null or', '(true or'],
    ['an exception for other data holds', '(d.data is null or', '(true or'],
    ['the holder of the record is not looked at', 'r.custodian_id = any(c.holder)', 'true'],
    ['the class of the record is not looked at', 'r.type = any(c.class)', 'true'],
    ['a permit ends below its level', ' <= c.level', ' < c.level'],
    ['a denial begins above its level', ' >= c.level', ' > c.level'],
    ['a sensitivity restricts nothing', /(ActCode\|'\)) then 4/, '$1 then 3'],
    ['a level that is not known is normal', /(Confidentiality\|'\)) then 5/, '$1 then 3'],
    ['one sensitivity of several is enough', /l <> all\(c\.sensitivity\)/, 'false'],
    ['a denied label is not looked at', 'coalesce(r.labels && c.sensitivity, false)', 'false'],
    ['a record by name is not looked at', /coalesce\(\(r\.type \|\| '\/' \|\| r\.id\) = any\(c\.data\), false\)/, 'false'],
    ['what a record refers to is not looked at', 'r.refers && c.data_refers', 'false'],
    ['what refers to a record is not looked at', '= any(x.refers)', '<> any(x.refers)'],
    ['an author is not looked at', 'r.authors && c.author', 'false'],
    ['the holder is no author', "('Organization/' || r.custodian_id) = any(c.author)", 'false'],
    ['an author who is not named is another', "r.authors = '{}' and '?'", "false and '?'"],
    ['a record on the first instant of a permit is outside', 'r.date_from >= c.data_from', 'r.date_from > c.data_from'],
    ['a record to the last instant of a permit is outside', 'r.date_until <= c.data_until', 'r.date_until < c.data_until'],
    ['a record after a denial touches it', 'r.date_from < c.data_until', 'r.date_from <= c.data_until'],
    ['a record before a denial touches it', 'r.date_until > c.data_from', 'r.date_until >= c.data_from'],
    ['a record without a date is not denied', 'r.date_from < c.data_until, true)', 'r.date_from < c.data_until, false)'],
    ['a record without an end is permitted', 'c.data_until, c.data_until is null)', 'c.data_until, true)'],
    ['a general denial stops the breaking of the glass', '(c.btg or ', '(true or '],
    ['a consent that names break-glass does not decide on it', '(c.btg or ', '(false or '],
  ];

  /** Of what a token's exceptional access opens: only those who name one can tell. */
  const mutantsOfSessions: typeof mutants = [
    ['a session is valid at its last instant', 'now() < x.valid_until', 'now() <= x.valid_until'],
    ['a session begins after its first instant', 'x.valid_from <= now()', 'x.valid_from < now()'],
    ['an unconfirmed case opens', 'x.valid_from <= now()', '(x.valid_from is null or x.valid_from <= now())'],
    ['a session outlives its end', 'and x.ended_at is null', ''],
    ['another person’s session opens', 'x.agent =', "'' <>"],
    ['a session goes with its person to another hospital', 'x.organization_id =', "'' <>"],
    ['a session opens everybody', 'where o.access_id = x.id and (', 'where ('],
    ['a Patient that is no longer linked stays open', '(o.named or exists', '(true or exists'],
    ['only the named Patient is opened', '(o.named or exists', '(o.named and exists'],
    ['a link with a Patient that was not named opens', 'and n.named and', 'and'],
  ];

  /** What is in force by signatures is SQL too: these go wrong before any caller asks. */
  const mutantsOfAgreements: typeof mutants = [
    ['anybody’s signature counts', '.organization_id = ', ".organization_id <> '' and '' <> "],
    ['one person signs for both sides', 'and c.account <> r.account and c.signer <> r.signer', ''],
    ['a signature of other terms counts', '.digest = ', ".digest <> '' and '' <> "],
    ['a signature that was taken back counts', '.ended_at is null', '.signed_at is not null'],
    [
      'a membership needs no signature',
      'exists (select from agreement_signature m',
      'not exists (select 1 where false) or exists (select from agreement_signature m',
    ],
  ];

  it('is not the same when what is put in force has any of these mistakes', async () => {
    const living = new Map(mutantsOfAgreements.map(([name, from, to]) => [name, mutatedBy(instant.tx, from, to)]));
    for (const world of fc.sample(worlds, { numRuns: 300, seed: 20260102 })) {
      expect(await agreementsOf(instant.tx, world)).toEqual(inForce(world));
      for (const [name, mutant] of living)
        if (!isDeepStrictEqual(await agreementsOf(mutant, world), inForce(world))) living.delete(name);
      if (living.size === 0) break;
    }
    expect([...living.keys()]).toEqual([]);
  });

  interface Mistake {
    name: string;
    /** The place of the first caller who notices it, of those who are to be asked; -1 where none does. */
    noticedBy: (tx: Queryable, world: World, only?: number) => Promise<number>;
  }

  /** Names of the mistakes that nobody notices in any world: each is looked for where it is known to tell, and then everywhere. */
  const survivors = async (drawn: fc.Arbitrary<World>, numRuns: number, mistaken: readonly Mistake[]): Promise<string[]> => {
    const living = new Set(mistaken);
    const sample = fc.sample(drawn, { numRuns, seed: 20260101 });
    const lookedFor = async (place: number, sought: readonly Mistake[], where: (one: Mistake) => number | undefined) =>
      inWorld(instant.tx, sample[place]!, async () => {
        const known = remembering(instant.tx);
        for (const one of sought) {
          const asker = await one.noticedBy(known, sample[place]!, where(one));
          if (asker >= 0) living.delete(one);
          if (asker >= 0 && process.env.TELLING_WORLDS)
            process.stderr.write(`${JSON.stringify(one.name)}: [${place}, ${asker}],\n`);
        }
      });
    const toldAt = (one: Mistake): number | undefined => (process.env.TELLING_WORLDS ? undefined : TELLING[one.name]?.[0]);
    for (const place of new Set(mistaken.map(toldAt)))
      if (place !== undefined && place < numRuns)
        await lookedFor(
          place,
          mistaken.filter((one) => toldAt(one) === place),
          ({ name }) => TELLING[name]?.[1],
        );
    for (const place of sample.keys()) if (living.size > 0) await lookedFor(place, [...living], () => undefined);
    return [...living].map(({ name }) => name);
  };

  it('is not the same with any of these mistakes in its SQL', async () => {
    const mistaken = [];
    for (const [name, from, to] of mutants.filter((one) => one[0] !== AT_MAJORITY || !isLeapDay(0))) {
      // each has a policy of its own: what one has read is nothing for the others
      const access = await createAccess(SETTINGS);
      mistaken.push({
        name,
        noticedBy: (tx: Queryable, world: World, only?: number) =>
          noticedBy(mutatedBy(tx, from, to), access, world, askers, only),
      });
    }
    expect(await survivors(crowdedWorlds, 60, mistaken)).toEqual([]);
  }, 400_000);

  it('opens nothing the same to a token that names a session with any of these mistakes in its SQL', async () => {
    const naming = askers.filter((asker) => asker.session !== undefined);
    const mistaken = [];
    for (const [name, from, to] of mutantsOfSessions) {
      const access = await createAccess(SETTINGS);
      mistaken.push({
        name,
        noticedBy: (tx: Queryable, world: World, only?: number) =>
          noticedBy(mutatedBy(tx, from, to), access, world, naming, only),
      });
    }
    expect(await survivors(worlds, 200, mistaken)).toEqual([]);
  }, 400_000);

  it('reads no consent the same with any of these mistakes in its SQL', async () => {
    const mistaken = consentMutants.map(([name, from, to]) => ({
      name,
      noticedBy: async (tx: Queryable, world: World) =>
        (await compareConsents(mutatedBy(tx, from, to), world)).differences.length > 0 ? 0 : -1,
    }));
    expect(await survivors(consentWorlds, 1000, mistaken)).toEqual([]);
  }, 400_000);
});

/** The place of the first caller whose answer shows the mistake, or -1. */
async function noticedBy(
  tx: Queryable,
  access: PolicyAccess,
  world: World,
  asking: readonly Asker[],
  only?: number,
): Promise<number> {
  for (const [i, asker] of asking.entries())
    if ((only === undefined || only === i) && (await compare(tx, access, world, [asker])).differences.length > 0) return i;
  return -1;
}

/** Each statement once: most of a mutant's are those of the others, and nothing changes between them. */
function remembering(tx: Queryable): Queryable {
  const answers = new Map<string, Promise<unknown[]>>();
  return {
    query: (statement) => {
      const key = JSON.stringify(statement.toQuery());
      const answer = answers.get(key) ?? tx.query(statement);
      answers.set(key, answer);
      return answer as Promise<never[]>;
    },
  };
}

/** The same statements with one piece of text exchanged. */
function mutatedBy(tx: Queryable, from: string | RegExp, to: string): Queryable {
  const exchange = (text: string): string => text.replaceAll(typeof from === 'string' ? from : new RegExp(from.source, 'g'), to);
  const mutate = ({ strings, values }: Sql): Sql => new Sql(strings.map(exchange), values);
  return { query: (statement) => tx.query(mutate(flat(statement))) };
}

/** The same statement with only parameters between its texts. */
function flat(part: Sql): Sql {
  const strings = [part.strings[0] ?? ''];
  const values: unknown[] = [];
  part.values.forEach((value, i) => {
    const inner = value instanceof Sql ? flat(value) : new Sql(['', ''], [value]);
    strings.push(`${strings.pop()}${inner.strings[0]}`, ...inner.strings.slice(1));
    values.push(...inner.values);
    strings.push(`${strings.pop()}${part.strings[i + 1] ?? ''}`);
  });
  return new Sql(strings, values);
}
