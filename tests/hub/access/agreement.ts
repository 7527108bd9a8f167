import type { Action } from '../../../hub/access/caller.js';
import { consentCaller } from '../../../hub/access/policy/conditions.js';
import { consentSays } from '../../../hub/access/policy/consent-terms.js';
import { rowEvidence, seenOf } from '../../../hub/access/policy/row-evidence.sql.js';
import type { Access } from '../../../hub/access/access.js';
import type { RequestAccess, RowWithEvidence } from '../../../hub/access/decision.js';
import type { Queryable } from '../../../hub/store/database.js';
import { columns } from '../../../hub/store/resources.js';
import { join, raw, sql } from '../../../hub/store/sql.js';
import { consentSays as oracleOfConsent } from './consent-oracle.js';
import { oracle, shownSeries } from './oracle.js';
import { type Asker, askers, callerOf, consentAskers, SETTINGS, type World } from './world.js';
import { idOf, seriesOf } from './world-database.js';

export const actions: readonly Action[] = ['know', 'read', 'retrieve', 'score', 'disclose', 'write', 'read-part'];

/** What the three say of each caller, action and record: those where they are not of one mind, and how many were asked and allowed. */
export interface Comparison {
  /** Callers times records. */
  pairs: number;
  asked: number;
  allowed: number;
  differences: string[];
}

/** Each record by the condition for records of its type. */
const byType = (access: RequestAccess, action: Action, types: readonly string[]) =>
  sql`case r.type ${join(
    types.map((type) => sql`when ${raw(`'${type}'`)} then ${access.filter(action, type)}`),
    ' ',
  )} end`;

/** In how many of the ways to read it a record is counted: one or none, whatever the number of reasons. */
const countedWays = (access: RequestAccess, types: readonly string[]) =>
  sql`case r.type ${join(
    types.map(
      (type) =>
        sql`when ${raw(`'${type}'`)} then ${join(
          access.ways('read', type).map((way) => sql`(${way})::int`),
          ' + ',
          '0',
        )}`,
    ),
    ' ',
  )} end`;

const nameOf = ({ type, id }: { type?: unknown; id?: unknown }): string => `${type}/${id}`;

/** Asks the oracle, casbin and the SQL about every record of a world that stands in the database. */
export async function compare(
  tx: Queryable,
  access: Access,
  world: World,
  asking: readonly Asker[] = askers,
): Promise<Comparison> {
  const result: Comparison = { pairs: 0, asked: 0, allowed: 0, differences: [] };
  const types = [...new Set(world.records.map((record) => record.type))];
  const names = world.records.map((record) => nameOf({ type: record.type, id: idOf(world, record) }));
  for (const asker of asking) {
    const request = await access.forCaller(tx, callerOf(asker, world));
    const rows = await tx.query<RowWithEvidence>(sql`select ${columns}, ${request.evidence} from resource r`);
    const bySql = await tx.query<Record<string, boolean | string | number>>(sql`
      select r.type, r.id, ${request.filter('know')} as know, ${request.filter('read')} as read, ${request.filter('retrieve')} as retrieve,
        ${request.filter('score')} as score, ${request.filter('disclose')} as disclose, ${request.filter('write')} as write, ${request.filter('read-part')} as "read-part",
        ${request.part?.filter ?? raw('false')} as in_part, ${request.part?.someSeries(raw("s->>'uid' = '0'")) ?? raw('false')} as shows_first,
        ${byType(request, 'know', types)} as know_of_type, ${byType(request, 'read', types)} as read_of_type, ${countedWays(request, types)} as read_ways from resource r`);
    const rowOf = new Map(rows.map((row) => [nameOf(row), row]));
    const selectedOf = new Map(bySql.map((row) => [nameOf(row), row]));
    for (const [i, record] of world.records.entries()) {
      const row = rowOf.get(names[i]!)!;
      const selected = selectedOf.get(names[i]!)!;
      result.pairs++;
      const expectedSeries = shownSeries(world, asker, record);
      const part = request.part?.of(row);
      const uids = part ? record.series.flatMap((s, n) => (part.isShown(seriesOf(s, n)) ? [n] : [])) : [];
      const isPart = expectedSeries.length > 0 && !oracle(world, asker, 'read', record);
      const inPart = selected['in_part'] === true;
      const showsFirst = inPart && selected['shows_first'] === true;
      if (uids.join() !== expectedSeries.join() || inPart !== isPart || showsFirst !== (isPart && expectedSeries.includes(0)))
        result.differences.push(
          `${JSON.stringify(asker)} part of ${JSON.stringify(record)}: oracle ${expectedSeries}, casbin ${uids}, sql ${selected['in_part']} ${selected['shows_first']}`,
        );
      for (const action of actions) {
        const decision = request.decide(action, row);
        const expected = oracle(world, asker, action, record);
        result.asked++;
        if (expected) result.allowed++;
        const ofType = `${action}_of_type` in selected ? selected[`${action}_of_type`] : expected;
        const counted = action === 'read' ? selected.read_ways === Number(expected) : true;
        if (!counted || decision.allowed !== expected || selected[action] !== expected || ofType !== expected)
          result.differences.push(
            `${JSON.stringify(asker)} ${action} ${JSON.stringify(record)}: oracle ${expected}, casbin ${decision.allowed} (${decision.rule}), sql ${selected[action]}, of its type ${ofType}, counted in ${selected.read_ways} ways`,
          );
      }
    }
  }
  return result;
}

/** What consents say by themselves, of each caller and record: also to purposes that no rule allows anything for. */
export async function compareConsents(tx: Queryable, world: World): Promise<Comparison> {
  const result: Comparison = { pairs: 0, asked: 0, allowed: 0, differences: [] };
  const evidence = rowEvidence('h0');
  const rows = await tx.query<RowWithEvidence>(sql`select ${columns}, ${evidence} from resource r where r.type <> 'Consent'`);
  for (const asker of consentAskers) {
    const caller = consentCaller(callerOf(asker, world), SETTINGS);
    const forms = {
      deny: consentSays('deny', caller),
      permit: consentSays('permit', caller),
      label: consentSays('permit', caller, true),
    };
    const bySql = await tx.query<Record<string, boolean | string>>(sql`
      select r.type, r.id, ${forms.deny.sql} as deny, ${forms.permit.sql} as permit, ${forms.label.sql} as label from resource r where r.type <> 'Consent'`);
    for (const record of world.records) {
      const isRecord = (row: { type?: unknown; id?: unknown }) => row.type === record.type && row.id === idOf(world, record);
      const seen = seenOf(rows.find(isRecord)!);
      const selected = bySql.find(isRecord)!;
      for (const form of ['deny', 'permit', 'label'] as const) {
        const expected = oracleOfConsent(world, asker, record, form === 'deny' ? 'deny' : 'permit', form === 'label');
        const found = forms[form].test(seen) !== undefined;
        result.asked++;
        if (expected) result.allowed++;
        if (found !== expected || selected[form] !== expected)
          result.differences.push(
            `${JSON.stringify(asker)} ${form} ${JSON.stringify(record)} r${world.records.indexOf(record)}: oracle ${expected}, test ${found}, sql ${selected[form]}; ${JSON.stringify(world.consents.filter((c) => c.person === record.person))}`,
          );
      }
    }
  }
  return result;
}
