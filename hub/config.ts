import { z } from 'zod';
import { isHostPattern } from '../connectors/host-policy.js';
import { readYaml } from './read-yaml.js';

/** A number, also as text: environment variables are always text. */
const count = (fallback: number, least = 1) => z.coerce.number().int().min(least).default(fallback);
const flag = (fallback: boolean) =>
  z.union([z.boolean(), z.enum(['true', 'false']).transform((v) => v === 'true')]).default(fallback);
const list = z.union([
  z.array(z.string()),
  z.string().transform((v) =>
    v
      .split(',')
      .map((s) => s.trim())
      .filter(Boolean),
  ),
]);

const LOOPBACK = new Set(['127.0.0.1', '[::1]', '::1', 'localhost']);

/** Scheme, host and port, and nothing else, no wildcard either; plain HTTP from this computer alone. */
function isWebOrigin(text: string): boolean {
  if (!URL.canParse(text) || text.includes('*')) return false;
  const { origin, protocol, hostname } = new URL(text);
  return text === origin && (protocol === 'https:' || (protocol === 'http:' && LOOPBACK.has(hostname)));
}

const DEFAULT_SECRET = 'demonstration-secret-change-me';

/**
 * The one schema of the configuration: every setting with its default and its meaning. A setting `fooBar` is read from the
 * environment as `HUB_FOO_BAR`, or from the YAML file that `HUB_CONFIG` names; the environment wins. `DATABASE_URL` and `PORT`
 * go by their usual names. A wrong value stops the start.
 */
const schema = z.strictObject({
  production: flag(false).describe('Production: refuses default secrets, the demonstration, and plain HTTP beyond loopback.'),
  databaseUrl: z.string().optional().describe('PostgreSQL 15 or later. Without it an embedded PostgreSQL runs under dataDir.'),
  connectionSeconds: count(10).describe(
    'Seconds that a connection to the database is waited for; a request that gets none is answered with 503.',
  ),
  statementSeconds: count(30).describe('Seconds that one statement may take in the database, or that its answer is waited for.'),
  dataDir: z.string().default('.data').describe('Where the embedded database and the demonstration archives live.'),
  host: z.string().default('127.0.0.1').describe('Address to listen on.'),
  port: count(8080, 0).describe('Port to listen on; 0 picks a free one.'),
  publicUrl: z.url().optional().describe('How clients reach the hub (issuer, audience, links). Default: http://host:port.'),
  tlsCert: z.string().optional().describe('PEM file of the certificate; needs tlsKey.'),
  tlsKey: z.string().optional().describe('PEM file of the private key.'),
  trustedProxy: flag(false).describe(
    'TLS ends at a proxy in front of the hub: X-Forwarded-For and -Proto of that proxy are believed.',
  ),
  webOrigins: list
    .pipe(z.array(z.string().refine(isWebOrigin, 'must be an origin such as https://viewer.example.org')))
    .default([])
    .describe(
      'Origins of web applications (a DICOM viewer, a SMART app) whose pages may call the hub from a browser, with a bearer token (CORS); none by default.',
    ),
  secret: z
    .string()
    .min(16)
    .default(DEFAULT_SECRET)
    .describe('Root of all keys: cursors, signing, stored credentials, encryption at rest (32 random bytes in base64).'),
  previousSecrets: list
    .pipe(z.array(z.string().min(16)))
    .default([])
    .describe(
      'Other secrets, separated by commas, that values may lie under: the previous one until `hub rekey` is done, or the next one before it is used.',
    ),
  protectedSystems: list
    .default([])
    .describe('Identifier systems of the region (insurance, social security) that are encrypted beside the known ones.'),
  oidcIssuer: z.url().optional().describe('OpenID Connect issuer for people. The demonstration brings its own.'),
  oidcAudience: z.string().optional().describe('Audience that a person’s access token must carry. Default: publicUrl.'),
  tokenLifetime: count(300).describe('Seconds that an access token for a system is valid.'),
  clockLeeway: count(30, 0).describe('Seconds of clock difference that token expiry forgives.'),
  demo: flag(false).describe('Create and serve the demonstration region.'),
  outboundNetworks: list
    .default([])
    .describe('Networks (CIDR) that connectors may reach although they are private; the demonstration and tests add loopback.'),
  outboundHosts: list
    .pipe(z.array(z.string().refine(isHostPattern, 'must be a host, an address, or *.suffix')))
    .default([])
    .describe(
      'Hosts that connectors may reach: exact names or addresses, or *.suffix. Default: any. The networks count all the same.',
    ),
  utcOffset: z
    .string()
    .regex(/^[+-]\d\d:\d\d$/)
    .default('+08:00')
    .describe('Offset of dates and times that state none: in DICOM objects, periods of consents and agreements, birthdays.'),
  pollSeconds: z.coerce.number().min(0.1).default(5).describe('Seconds after which a source is read again at the latest.'),
  quickPollSeconds: z.coerce
    .number()
    .min(0.05)
    .default(0.3)
    .describe(
      'Seconds between two looks for news at a source; more where a look takes long, so that it is busy with them 5 % of the time.',
    ),
  workers: count(1, 0).describe('Scores that are made at once in this process, at most; 0 leaves scoring to other processes.'),
  scoringMemory: count(4096, 64).describe(
    'Mebibytes that the scores made at once in this process may use together; each model says what one needs (`hub model list`).',
  ),
  researchModels: flag(false).describe(
    'Carry models whose licence is for research only too (`hub model list`): the operator answers for the use. The demonstration carries them.',
  ),
  scoringTimeout: count(120).describe('Seconds that one scoring job may take.'),
  launchSeconds: count(300).describe(
    'Seconds within which a launch from a hospital’s system must have been taken up by the person that it is for.',
  ),
  consoleClient: z
    .string()
    .default('hub-console')
    .describe('Client id at the issuer with which the hub’s own page signs people in.'),
  deliveryWorkers: count(2, 0).describe(
    'Deliveries to other archives that run at once in this process; 0 leaves them to other processes.',
  ),
  deliveryHours: count(24).describe('Hours for which a delivery is tried while one of the two archives does not answer.'),
  deliveryObjectBytes: count(512 * 1024 * 1024).describe(
    'Largest DICOM object that is delivered; it takes about four times its size in memory while it is; of those above 32 MiB one at a time is read.',
  ),
  copyCheckSeconds: count(60).describe('Seconds between two looks at delivered copies, whether what allowed them still stands.'),
  maxBodyBytes: count(16 * 1024 * 1024).describe('Largest request body; a larger one is refused with 413.'),
  maxBundleEntries: count(1000).describe('Largest batch or transaction.'),
  maxPage: count(200).describe('Largest _count.'),
  maxStreams: count(16).describe('Retrievals that may run at once for one caller.'),
  maxObjectBytes: count(256 * 1024 * 1024).describe('Largest DICOM object that a hospital may push (STOW-RS).'),
  maxPushes: count(4).describe('Pushes (STOW-RS) that run at once in this process; each holds a few objects in memory.'),
  pixelProcesses: count(2).describe('Processes that decode images for pictures and transcoding.'),
  pixelMemory: count(1024, 256).describe(
    'Mebibytes that such a process may hold before it is ended; a third of it is the largest object that is decoded.',
  ),
  pixelTimeout: count(60).describe('Seconds that one object may take to decode.'),
  rateLimit: count(1000, 0).describe(
    'Cost units a second that one account or client may use: a read costs 1, a search or write 2, a retrieval 5, a report 50, entries of a Bundle each; 0: no limit.',
  ),
  rateBurst: count(20_000).describe('Cost units that one account or client may use at once.'),
  consentRequiredFor: list.default(['HRESCH']).describe('Purposes that need the patient’s permit (opt-in).'),
  ageOfMajority: count(18, 1).describe('Years after which parents no longer act for a patient.'),
  freshAuthentication: count(300).describe('Seconds since the sign-in within which break-glass may be begun.'),
  breakGlassMinutes: count(60).describe('Minutes that a break-glass session is open.'),
  breakGlassReviewHours: count(72).describe(
    'Hours until a break-glass session must be reviewed; an overdue one stops further use.',
  ),
  breakGlassPerDay: count(10).describe('Break-glass sessions that one physician may open in 24 hours.'),
  breakGlassStoppedBy: list
    .default([])
    .describe(
      'Policies (Consent.policy.uri) whose general denial stops break-glass too; * for every denial. A consent that names BTG always decides.',
    ),
  breakGlassGroups: list
    .default([])
    .describe('Groups (Group/id) that consents name and that stand for whoever may break the glass.'),
  breakGlassOpensRestricted: flag(false).describe(
    'A break-glass session opens records labelled restricted (R) without a consent that names the label; never very restricted ones (V).',
  ),
  oversightCaseDays: count(30).describe('Days that a confirmed case of the health commission is open.'),
  smallestGroup: count(5, 2).describe(
    'Persons that must share all values of a de-identified row; rows of fewer are counted, not shown.',
  ),
  auditSealSeconds: z.coerce
    .number()
    .min(0.1)
    .default(10)
    .describe('Seconds between two sealings of the audit: rows into the tree, a signed tree head.'),
  auditRetentionMonths: count(360, 6).describe('Months that the audit stays in the database; only older ones may be archived.'),
  logLevel: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('Least level that is logged.'),
});

export type Config = Readonly<z.infer<typeof schema>> & { readonly publicUrl: string };

/** The secret, then others that something may still be sealed with. */
export const secretsOf = (config: { secret: string; previousSecrets?: readonly string[] }): readonly [string, ...string[]] => [
  config.secret,
  ...(config.previousSecrets ?? []),
];

/** Reads the environment (and the file that HUB_CONFIG names) once. @throws Error that lists each wrong setting by name. */
export function loadConfig(environment: NodeJS.ProcessEnv = process.env, overrides: Record<string, unknown> = {}): Config {
  const given = { ...fromFile(environment.HUB_CONFIG), ...fromEnvironment(environment), ...overrides };
  const result = schema.safeParse(given);
  if (!result.success) {
    throw new Error(
      `configuration: ${result.error.issues.map((i) => `${i.path.join('.') || '(root)'}: ${i.message}`).join('; ')}`,
    );
  }
  const config = result.data;
  const scheme = config.tlsCert ? 'https' : 'http';
  const complete = { ...config, publicUrl: (config.publicUrl ?? `${scheme}://${config.host}:${config.port}`).replace(/\/$/, '') };
  if (complete.production) assertFitForProduction(complete);
  return Object.freeze(complete);
}

/** The settings as documentation: name, variable, default, meaning. */
export function describeConfig(): { name: string; variable: string; meaning: string; default: unknown }[] {
  return Object.entries(schema.shape).map(([name, setting]) => ({
    name,
    variable: variableOf(name),
    meaning: setting.description ?? '',
    default: setting.safeParse(undefined).data,
  }));
}

function variableOf(name: string): string {
  if (name === 'databaseUrl') return 'DATABASE_URL';
  if (name === 'port') return 'PORT';
  return `HUB_${name.replace(/[A-Z]/g, (c) => `_${c}`).toUpperCase()}`;
}

function fromEnvironment(environment: NodeJS.ProcessEnv): Record<string, unknown> {
  const known = new Map(Object.keys(schema.shape).map((name) => [variableOf(name), name]));
  const unknown = Object.keys(environment).filter((v) => v.startsWith('HUB_') && v !== 'HUB_CONFIG' && !known.has(v));
  if (unknown.length > 0) throw new Error(`configuration: unknown variable ${unknown.join(', ')}`);
  return Object.fromEntries([...known].filter(([v]) => environment[v] !== undefined).map(([v, name]) => [name, environment[v]]));
}

function fromFile(file: string | undefined): object {
  const content = file ? (readYaml(file) ?? {}) : {};
  if (typeof content !== 'object' || Array.isArray(content))
    throw new Error(`configuration: ${file} does not hold settings by name`);
  return content as object;
}

/** A production start fails closed: no default secret, no demonstration people, no plain HTTP beyond loopback. */
function assertFitForProduction(config: Config): void {
  const wrong: string[] = [];
  if (config.secret === DEFAULT_SECRET) wrong.push('secret: the default is public, set HUB_SECRET');
  if (config.previousSecrets.includes(DEFAULT_SECRET)) wrong.push('previousSecrets: the default secret is public');
  if (config.demo) wrong.push('demo: the demonstration has well-known passwords');
  if (!LOOPBACK.has(config.host) && !config.tlsCert && !config.trustedProxy)
    wrong.push('tlsCert: plain HTTP is refused beyond loopback');
  if (!LOOPBACK.has(new URL(config.publicUrl).hostname) && !config.publicUrl.startsWith('https://'))
    wrong.push('publicUrl: must be https');
  if (config.oidcIssuer && !config.oidcIssuer.startsWith('https://')) wrong.push('oidcIssuer: must be https');
  if (wrong.length > 0) throw new Error(`configuration: not fit for production: ${wrong.join('; ')}`);
}
