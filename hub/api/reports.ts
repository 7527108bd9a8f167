import type { Request, ResponseToolkit, Server } from '@hapi/hapi';
import { type Period, period, type Report, reports, runReport } from '../../reports/index.js';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import type { Access } from '../access/access.js';
import type { Decision } from '../access/decision.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { invalid, notFound, unprocessable } from '../outcomes.js';
import type { Database, Queryable } from '../store/database.js';
import { raw, Sql } from '../store/sql.js';
import { asked } from './asked.js';
import { toCsv } from './csv.js';
import type { components } from './openapi.generated.js';
import { permitted } from './permitted.js';

type ReportList = components['schemas']['ReportList'];
type ReportResult = components['schemas']['ReportResult'];

export interface ReportDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'utcOffset' | 'smallestGroup' | 'trustedProxy'>;
}

const STATEMENT_TIMEOUT = '20s';
const MOST_ROWS = 100_000;

/** `/reports`: the region's figures for the health commission, as JSON or CSV. Each run, refused ones too, is audited before it is answered. */
export function registerReports(server: Server, deps: ReportDeps): void {
  server.route([
    { method: 'GET', path: '/reports', handler: (request) => list(deps, request) },
    { method: 'GET', path: '/reports/{name}', handler: (request, h) => answer(deps, request, h) },
  ]);
}

async function list(deps: ReportDeps, request: Request): Promise<ReportList> {
  await deps.db.snapshot((tx) => authorize(deps, tx, request));
  return { reports: reports.map(describe) };
}

async function answer(deps: ReportDeps, request: Request, h: ResponseToolkit) {
  const report = reports.find((r) => r.name === request.params.name);
  const { parameters, csv } = askedFor(request, deps.config.utcOffset);
  const result = await deps.db.snapshot(async (tx) => {
    const decision = await authorize(deps, tx, request);
    if (!report) throw notFound();
    return { decision, body: await run(deps, tx, report, parameters) };
  });
  await deps.audit.commit([entryOf(deps, request, result.decision)]);
  const response = csv ? h.response(csvOf(result.body, request)).type('text/csv; charset=utf-8') : h.response(result.body);
  if (csv)
    response.header(
      'content-disposition',
      `attachment; filename="${result.body.name}-${result.body.from}-${result.body.until}.csv"`,
    );
  return response.header('cache-control', 'no-store').header('vary', 'accept, accept-language');
}

/** @throws Refusal 403 for all but the health commission; the attempt is on record by then. */
const authorize = (deps: ReportDeps, tx: Queryable, request: Request): Promise<Decision> =>
  permitted(deps, tx, callerOfRequest(request), {
    decide: (access) => access.decideGeneral('report'),
    entry: (decision) => entryOf(deps, request, decision),
    detail: (decision) => decision.reason,
    refusal: 'Reports are for the health commission.',
  });

async function run(deps: ReportDeps, tx: Queryable, report: Report, parameters: Period): Promise<ReportResult> {
  await tx.query(raw(`set local statement_timeout = '${STATEMENT_TIMEOUT}'`));
  const rows = await runReport(
    report,
    (text, values) => tx.query(new ReportStatement(text, values)),
    parameters,
    deps.config.utcOffset,
    deps.config.smallestGroup,
  ).catch((error) => {
    throw error instanceof RangeError ? invalid(error.message, 'until') : error;
  });
  if (rows.length > MOST_ROWS)
    throw unprocessable([{ severity: 'error', code: 'too-costly', diagnostics: 'Too many rows: ask for a shorter period.' }]);
  return { ...describe(report), ...parameters, rows };
}

/** A report's own statement with its own `$1..$n`, cut off after the most rows that are answered. */
class ReportStatement extends Sql {
  constructor(
    private readonly text: string,
    private readonly parameters: readonly unknown[],
  ) {
    super([], []);
  }

  override toQuery() {
    return { text: `select * from (${this.text}) as report limit ${MOST_ROWS + 1}`, values: [...this.parameters] };
  }
}

function describe({ name, title, description, columns }: Report): ReportList['reports'][number] {
  return { name, title, description, columns: [...columns] };
}

/** @throws Refusal 400 that names the parameter. */
function askedFor(request: Request, utcOffset: string): { parameters: Period; csv: boolean } {
  const { format, ...rest } = request.query as Record<string, unknown>;
  if (format !== undefined && format !== 'json' && format !== 'csv') throw invalid("format is 'json' or 'csv'.", 'format');
  const parameters = asked(period, { ...lastTwelveMonths(utcOffset), ...rest });
  const csv = format ? format === 'csv' : /^text\/csv\b/i.test(String(request.headers.accept ?? ''));
  return { parameters, csv };
}

/** The current month, where the region is, and the eleven before it. */
function lastTwelveMonths(utcOffset: string): Period {
  const midnight = Date.parse(`1970-01-01T00:00:00${utcOffset}`);
  const now = new Date(Date.now() - midnight);
  const month = (shift: number) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + shift, 1)).toISOString().slice(0, 7);
  return { from: month(-11), until: month(1) };
}

function csvOf(result: ReportResult, request: Request): string {
  const chinese = /^zh\b/i.test(String(request.headers['accept-language'] ?? ''));
  return toCsv(
    result.columns.map((c) => (chinese ? c.title.zh : c.name)),
    result.rows.map((row) => result.columns.map((c) => row[c.name] ?? null)),
  );
}

function entryOf(deps: ReportDeps, request: Request, decision: Decision): AuditEntry {
  return {
    ...agentOf(callerOfRequest(request), requestContext(request, deps.config)),
    type: 'export',
    subtype: 'report',
    action: 'R',
    outcome: 0,
    query: request.path + request.url.search,
    ...decidedBy(decision),
    ...(decision.reason ? { detail: decision.reason } : {}),
  };
}
