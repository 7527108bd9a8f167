import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { createAccess, type PolicyAccess } from '../../../hub/access/create-access.js';
import type { Queryable } from '../../../hub/store/database.js';
import { Sql } from '../../../hub/store/sql.js';
import { type TestDatabase, testDatabase } from '../../support/test-database.js';
import { compare, compareConsents } from './agreement.js';
import { type Asker, askers, consentWorlds, crowdedWorlds, SETTINGS, type World, worlds } from './world.js';
import { inForce } from './oracle.js';
import { agreementsOf, inWorld, openInstant } from './world-database.js';

/** Printed by a run with TELLING_WORLDS set; where the worlds have changed since, the test takes longer and says the same. */
const TELLING = {
  all: [2, 0, 6, 1, 10, 11, 16, 17, 4, 8, 9, 13, 27, 31, 41],
  sessions: [0, 2, 4, 15, 16, 31, 43, 46, 48],
  consents: [0, 1, 17, 12, 27, 4, 21, 24, 32, 49, 61, 79, 139, 154, 203, 220],
};

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
    ['a parent acts at the instant of majority', 'or now() < ((p.date_from', 'or now() <= ((p.date_from'],
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

  /** @param telling places of the worlds that are known to tell a mistake: they come first, so that most of the others need not be built. */
  const survivors = async (
    drawn: fc.Arbitrary<World>,
    numRuns: number,
    telling: readonly number[],
    mistaken: { name: string; isNoticed: (tx: Queryable, world: World) => Promise<boolean> }[],
  ): Promise<string[]> => {
    const living = [...mistaken];
    const sample = fc.sample(drawn, { numRuns, seed: 20260101 });
    for (const place of new Set([...telling, ...sample.keys()])) {
      if (living.length === 0) break;
      await inWorld(instant.tx, sample[place]!, async () => {
        const known = remembering(instant.tx);
        for (const one of [...living]) {
          if (await one.isNoticed(known, sample[place]!)) living.splice(living.indexOf(one), 1);
          if (process.env.TELLING_WORLDS && !living.includes(one)) process.stderr.write(`${place} ${one.name}\n`);
        }
      });
    }
    return living.map(({ name }) => name);
  };

  it('is not the same with any of these mistakes in its SQL', async () => {
    const mistaken = [];
    for (const [name, from, to] of mutants) {
      // each has a policy of its own: what one has read is nothing for the others
      const access = await createAccess(SETTINGS);
      mistaken.push({
        name,
        isNoticed: (tx: Queryable, world: World) => isNoticed(mutatedBy(tx, from, to), access, world, askers),
      });
    }
    expect(await survivors(crowdedWorlds, 60, TELLING.all, mistaken)).toEqual([]);
  }, 400_000);

  it('opens nothing the same to a token that names a session with any of these mistakes in its SQL', async () => {
    const naming = askers.filter((asker) => asker.session !== undefined);
    const mistaken = [];
    for (const [name, from, to] of mutantsOfSessions) {
      const access = await createAccess(SETTINGS);
      mistaken.push({
        name,
        isNoticed: (tx: Queryable, world: World) => isNoticed(mutatedBy(tx, from, to), access, world, naming),
      });
    }
    expect(await survivors(worlds, 200, TELLING.sessions, mistaken)).toEqual([]);
  }, 400_000);

  it('reads no consent the same with any of these mistakes in its SQL', async () => {
    const mistaken = consentMutants.map(([name, from, to]) => ({
      name,
      isNoticed: async (tx: Queryable, world: World) =>
        (await compareConsents(mutatedBy(tx, from, to), world)).differences.length > 0,
    }));
    expect(await survivors(consentWorlds, 1000, TELLING.consents, mistaken)).toEqual([]);
  }, 400_000);
});

/** Whether the answer to one of the callers shows the mistake; the others need not be asked then. */
async function isNoticed(tx: Queryable, access: PolicyAccess, world: World, asking: readonly Asker[]): Promise<boolean> {
  for (const asker of asking) if ((await compare(tx, access, world, [asker])).differences.length > 0) return true;
  return false;
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
