import { z } from 'zod';
import type { Manifest } from '../../models/manifest.js';
import { listModels } from '../../models/model-package.js';
import { invalid } from '../outcomes.js';
import { type ResourceRow, toResource } from '../store/resources.js';

/** Task.priority and ServiceRequest.priority (R4 request-priority), the most urgent first. */
export const PRIORITIES = ['stat', 'asap', 'urgent', 'routine'] as const;
export type Priority = (typeof PRIORITIES)[number];

const model = z.string().regex(/^[a-z][a-z0-9-]{2,63}$/, 'must be the name of a model');

const rule = z.strictObject({
  model,
  /** Modalities (DICOM CID 29): one of those that the model is made for. */
  modality: z
    .array(z.string().regex(/^[A-Z]{2,16}$/, 'must be a modality such as CT'))
    .min(1)
    .max(20)
    .optional(),
  /** SNOMED CT codes that the study's body site must be among; a study that states none is not meant. */
  bodySite: z
    .array(z.string().regex(/^[0-9]{6,18}$/, 'must be a SNOMED CT code'))
    .min(1)
    .max(50)
    .optional(),
  /** Words that the description of the study or of one of its series must hold, in capitals or not. */
  description: z.string().trim().min(1).max(64).optional(),
  /** How soon, where no order of the hospital says more. */
  priority: z.enum(PRIORITIES).optional(),
});

/** Which studies of a hospital a model scores without being asked. A bare name: all that the model is made for. */
export type ScoringRule = z.infer<typeof rule>;

/** `autoScore` of a hospital's record. */
export const scoringRules = z.array(z.union([model, rule])).max(50);

/** Rules as they are stored. What is no list of rules, or not such a rule, opens nothing. */
export function rulesIn(stored: unknown): ScoringRule[] {
  if (!Array.isArray(stored)) return [];
  return stored.flatMap((one) => {
    const parsed = rule.safeParse(typeof one === 'string' ? { model: one } : one);
    return parsed.success ? [parsed.data] : [];
  });
}

/** Whether a rule means a study. What is not stated lies outside a rule that is limited by it. */
export function means({ modality, bodySite, description }: ScoringRule, study: ResourceRow): boolean {
  const isAmong = (wanted: readonly string[] | undefined, stated: readonly string[]): boolean =>
    wanted === undefined || stated.some((code) => wanted.includes(code));
  return isAmong(modality, study.modality) && isAmong(bodySite, study.body_site) && isDescribed(description, study);
}

function isDescribed(words: string | undefined, row: ResourceRow): boolean {
  if (words === undefined) return true;
  const study = toResource(row);
  const series: { description?: string }[] = study.series ?? [];
  const texts: (string | undefined)[] = [study.description, ...series.map((one) => one.description)];
  return texts.some((text) => text?.toLowerCase().includes(words.toLowerCase()));
}

/** A rule in words, for those who answer for it. */
export function ruleInWords({ model, modality, bodySite, description, priority }: ScoringRule): string {
  const limits = [
    ...(modality ? [`modality ${modality.join(' or ')}`] : []),
    ...(bodySite ? [`body site ${bodySite.join(' or ')}`] : []),
    ...(description ? [`described as "${description}"`] : []),
  ];
  return `${model}: ${limits.join(', ') || 'every study that it is made for'}${priority ? `; ${priority}` : ''}`;
}

/** @throws Refusal 400 for a rule whose model is not there, or that the model can never follow. */
export async function assertRules(stored: unknown): Promise<void> {
  const rules = rulesIn(stored);
  if (rules.length === 0) return;
  const models = new Map((await listModels()).map(({ manifest, runnable }) => [manifest.name, { manifest, runnable }]));
  for (const one of rules) {
    const known = models.get(one.model);
    const names = [...models].flatMap(([name, { runnable }]) => (runnable ? [name] : [])).join(', ');
    if (!known?.runnable) throw invalid(`autoScore: there is no model ${one.model} to score with; there are ${names || 'none'}`);
    assertPossible(one, known.manifest);
  }
}

function assertPossible({ model, modality, bodySite }: ScoringRule, { accepts }: Manifest): void {
  if (accepts.modality.length === 0 && (modality || bodySite))
    throw invalid(`autoScore: ${model} reads laboratory values; its rule states neither modality nor bodySite`);
  const strange = (modality ?? []).filter((code) => !accepts.modality.includes(code));
  if (strange.length > 0)
    throw invalid(`autoScore: ${model} is made for ${accepts.modality.join(', ')}, not for ${strange.join(', ')}`);
  const sites = accepts.bodySite.map(({ code }) => code);
  const outside = (bodySite ?? []).filter((code) => !sites.includes(code));
  if (outside.length > 0) throw invalid(`autoScore: ${model} is made for ${sites.join(', ')}, not for ${outside.join(', ')}`);
}
