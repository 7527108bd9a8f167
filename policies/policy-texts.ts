import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { PolicyError, type PolicyFault } from './policy-error.js';

/** A request that the policy must permit or deny, as the region's people review it. */
export interface Example {
  /** File name below `examples/`, e.g. `deny/stranger-reads-study.json`. */
  name: string;
  permit: boolean;
  description: string;
  subject: { role: string; purpose: string };
  /** Bases that hold. */
  facts: string[];
  action: string;
  object: string;
  /** Id of the rule that decides; '' where none matches. */
  rule: string;
}

/** A policy as people write it: what a folder of policies holds, and what an epoch keeps. */
export interface PolicyTexts {
  /** Text of the casbin model. */
  model: string;
  /** The table of rules and groups. */
  rules: string;
  examples: readonly Example[];
  /** Examples of the program that this policy decides otherwise, by name, each with the reason: `examples/superseded.json`. */
  superseded: Readonly<Record<string, string>>;
}

const contentSchema = z.strictObject({
  description: z.string().min(1).max(500),
  subject: z.strictObject({ role: z.string().max(64), purpose: z.string().max(64) }),
  facts: z.array(z.string().max(64)).max(64),
  action: z.string().max(64),
  object: z.string().max(64),
  rule: z.string().max(64),
});

const EXAMPLE_NAME = /^(permit|deny)\/[a-z0-9-]{1,100}\.json$/;
const MOST_EXAMPLES = 500;
const supersededSchema = z.record(z.string().regex(EXAMPLE_NAME), z.string().min(10).max(500));

const folderOfProgram = new URL('./', import.meta.url);

/** Reads a folder of policies; the program's own by default. @throws PolicyError for examples that are none */
export function readPolicyTexts(folder: URL = folderOfProgram): PolicyTexts {
  const read = (file: string): string => readFileSync(new URL(file, folder), 'utf8');
  const files = (['permit', 'deny'] as const).flatMap((kind) =>
    readdirSync(new URL(`examples/${kind}/`, folder))
      .filter((file) => file.endsWith('.json'))
      .sort()
      .map((file) => `${kind}/${file}`),
  );
  const contents = Object.fromEntries(files.map((name) => [name, jsonOf(name, read(`examples/${name}`))]));
  const superseded = existsSync(new URL('examples/superseded.json', folder))
    ? jsonOf('superseded.json', read('examples/superseded.json'))
    : {};
  return {
    model: read('access-model.conf'),
    rules: read('access-policy.csv'),
    examples: examplesOf(contents),
    superseded: supersededOf(superseded),
  };
}

/** Examples by file name. @throws PolicyError that names each that is none */
export function examplesOf(contents: Readonly<Record<string, unknown>>): Example[] {
  const faults: PolicyFault[] = [];
  const examples = Object.entries(contents).flatMap(([name, content]) => {
    const result = contentSchema.safeParse(content);
    if (!EXAMPLE_NAME.test(name)) faults.push({ message: `example '${name}': the name is not permit/… or deny/….json` });
    else if (!result.success)
      faults.push(...result.error.issues.map((i) => ({ message: `example ${name}: ${i.path.join('.')}: ${i.message}` })));
    else return [{ name, permit: name.startsWith('permit/'), ...result.data }];
    return [];
  });
  if (!examples.some((e) => e.permit) || !examples.some((e) => !e.permit)) faults.push({ message: 'there are no examples' });
  if (examples.length > MOST_EXAMPLES) faults.push({ message: `there are more than ${MOST_EXAMPLES} examples` });
  if (faults.length > 0) throw new PolicyError(faults);
  return examples;
}

/** @throws PolicyError for what is not a reason by the name of an example */
export function supersededOf(content: unknown): Record<string, string> {
  const result = supersededSchema.safeParse(content);
  if (result.success) return result.data;
  throw new PolicyError(result.error.issues.map((i) => ({ message: `superseded.json: ${i.path.join('.')}: ${i.message}` })));
}

function jsonOf(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new PolicyError([{ message: `example ${name}: it is not JSON` }]);
  }
}
