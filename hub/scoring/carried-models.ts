import type { Logger } from 'pino';
import type { Manifest } from '../../models/manifest.js';
import type { Config } from '../config.js';
import { rulesIn } from '../jobs/scoring-rules.js';
import type { Queryable } from '../store/database.js';
import { sql } from '../store/sql.js';
import type { Models } from './models.js';

/** Why a model that is there is not used, by its name: one sentence each. */
export type LeftOut = ReadonlyMap<string, string>;

export interface CarriedModels {
  models: Models;
  leftOut: LeftOut;
}

type Licensing = Pick<Config, 'demo' | 'researchModels'>;

/** Of a model that may not be used here, why; the licence of the data that it was trained on decides. */
export function licenceForbids({ licence }: Manifest, { demo, researchModels }: Licensing): string | undefined {
  if (licence.use !== 'research-only' || demo || researchModels) return undefined;
  const data = licence.data.map(({ name, licence: of }) => `${name}, ${of}`).join('; ');
  return `It is for research only (trained on ${data}): the setting researchModels lets it in.`;
}

/** The models that this hub carries of those that are there. */
export function carriedOf(there: Models, licensing: Licensing): CarriedModels {
  const reasons = [...there].map(([name, manifest]) => [name, licenceForbids(manifest, licensing)] as const);
  const leftOut = new Map(reasons.flatMap(([name, reason]) => (reason === undefined ? [] : [[name, reason] as const])));
  return { models: new Map([...there].filter(([name]) => !leftOut.has(name))), leftOut };
}

/** Tells the operator of each model that is left out, and of each hospital's rule that so scores nothing. */
export async function reportLeftOut(db: Queryable, { models, leftOut }: CarriedModels, log: Pick<Logger, 'warn'>): Promise<void> {
  for (const [model, reason] of leftOut) log.warn({ model, reason }, 'a model is not carried');
  const rows = await db.query<{ hospital: string; rules: unknown }>(
    sql`select organization_id as hospital, settings -> 'autoScore' as rules from connector where enabled and settings ? 'autoScore'`,
  );
  for (const { hospital, rules } of rows)
    for (const { model } of rulesIn(rules).filter((rule) => !models.has(rule.model)))
      log.warn({ hospital, model, reason: leftOut.get(model) ?? 'There is no such model.' }, 'a rule scores nothing');
}
