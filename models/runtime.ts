import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { checkGraph } from './graph/check-graph.js';
import type { Manifest } from './manifest.js';
import { graphsOf, locateModel, modelsFolder, readHashed, readManifest } from './model-package.js';
import { failure, type Failure, type Outcome } from './outcome.js';
import type { ObservedValue } from './pipeline.js';
import { type OnProgress, type ProcessLimits, runProcess } from './sandbox/run-process.js';
import type { ModelCheck, ScoreMessage, Scored, ScoreTask } from './score-messages.js';

export interface ScoreRequest extends ProcessLimits {
  /** Name of the model. */
  model: string;
  /** Part 10 files of one study; or the folder that holds them, at any depth. */
  files?: string[];
  folder?: string;
  /** Laboratory values, for a model that reads them. */
  observations?: ObservedValue[];
  /** Another operating point than the manifest's, for all or some of its thresholds. */
  thresholds?: Record<string, number>;
  onProgress?: OnProgress;
  /** Where the model folders lie. Default: those of the project. */
  modelsRoot?: string;
}

/**
 * Scores one study with one model in a process of its own, which has no environment, no secrets and no connection but the one to its
 * parent, runs at low priority, and cannot take the parent down. What can be expected to go wrong comes back as a Failure.
 */
export async function scoreStudy(request: ScoreRequest): Promise<Outcome<Scored>> {
  const model = await locateModel(request.model, request.modelsRoot ?? modelsFolder);
  if (!model.ok) return model;
  const { folder, pipeline } = model.value;
  if (!pipeline) return failure('invalid-model', 'The model has no code that makes a study ready for its graph.');
  const given = {
    files: request.files?.map((file) => resolve(file)) ?? (await filesIn(request.folder)),
    observations: request.observations ?? [],
  };
  if (given.files.length + given.observations.length === 0) return failure('malformed-input', 'There is nothing to be scored.');
  const task: ScoreTask = {
    kind: 'score',
    folder,
    pipeline,
    given,
    threads: request.threads ?? 2,
    thresholds: request.thresholds ?? {},
  };
  const answer = await runProcess(task, request, request.onProgress);
  return 'kind' in answer && answer.kind === 'scored' ? answer.outcome : asFailure(answer);
}

/**
 * Checks a model folder: manifest, card, each graph's hash and what it holds, then in a process of its own the graph's inputs and outputs and the
 * self-test. Each check says whether it holds; those that nothing can be built on are the last.
 */
export async function checkModelPackage(
  name: string,
  modelsRoot = modelsFolder,
  limits: ProcessLimits = {},
): Promise<ModelCheck[]> {
  const read = await readManifest(name, modelsRoot);
  if (!read.ok) return [{ check: 'manifest', ok: false, detail: read.message }];
  const [manifest, folder] = [read.value, resolve(modelsRoot, name)];
  const checks = [manifestCheck(manifest), await cardCheck(folder, manifest), ...(await graphChecks(folder, manifest))];
  if (checks.some(({ check, ok }) => !ok && check !== 'card')) return checks;
  const answer = await runProcess({ kind: 'check', folder, threads: limits.threads ?? 2 }, limits);
  if ('kind' in answer && answer.kind === 'checked' && answer.outcome.ok) return [...checks, ...answer.outcome.value];
  const problem = 'kind' in answer && answer.kind === 'checked' && !answer.outcome.ok ? answer.outcome : asFailure(answer);
  return [...checks, { check: 'graph', ok: false, detail: problem.message }];
}

const manifestCheck = ({ name, version, licence }: Manifest): ModelCheck => ({
  check: 'manifest',
  ok: true,
  detail: `${name} ${version}, ${licence.graph}, ${licence.use}`,
});

async function cardCheck(folder: string, { version }: Manifest): Promise<ModelCheck> {
  const card = await readFile(join(folder, 'model-card.md'), 'utf8').catch(() => '');
  const ok = card.includes(version);
  return { check: 'card', ok, detail: ok ? 'present' : 'missing, or of another version' };
}

/** Hash and content of each graph; every fault has a line of its own. */
async function graphChecks(folder: string, manifest: Manifest): Promise<ModelCheck[]> {
  const checks: ModelCheck[] = [];
  for (const stated of graphsOf(manifest).values()) {
    const bytes = await readHashed(folder, stated);
    checks.push({ check: 'hash', ok: bytes.ok, detail: bytes.ok ? stated.sha256 : bytes.message });
    if (!bytes.ok) continue;
    const { faults, irVersion, opsets, nodes, operators } = checkGraph(bytes.value, stated);
    const summary = `IR ${irVersion}, opset ${opsets.get('')}, ${nodes} nodes of ${operators.size} operators`;
    if (faults.length === 0) checks.push({ check: 'content', ok: true, detail: summary });
    checks.push(...faults.map((detail) => ({ check: 'content' as const, ok: false, detail })));
  }
  return checks;
}

async function filesIn(folder: string | undefined): Promise<string[]> {
  if (!folder) return [];
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => resolve(entry.parentPath, entry.name));
}

const asFailure = (answer: ScoreMessage | Failure): Failure =>
  'code' in answer ? answer : failure('crashed', 'The scoring process gave an answer that was not asked for.');
