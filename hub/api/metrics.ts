import type { Server } from '@hapi/hapi';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Wall } from '../../models/sandbox/confinement.js';
import { lackingInForce } from '../access/epochs/shipped-policy.js';
import { unsealedRows } from '../audit/proof/seal.js';
import type { AuditWriter } from '../audit/record.js';
import type { Database, Queryable } from '../store/database.js';
import type { StepCounts } from '../ingest/step-counts.js';
import { carries } from '../scoring/memory-budget.js';
import type { ScoreTimes } from '../scoring/score-times.js';
import { raw, type Sql, sql } from '../store/sql.js';

/** Gauges that are a statement: one sample a row, with its other columns as labels. */
const statements: readonly { name: string; help: string; labels: readonly string[]; statement: Sql }[] = [
  {
    name: 'hub_scoring_jobs',
    help: 'Scoring jobs that wait, run or failed for good (kept to be tried again), by model.',
    labels: ['state', 'model'],
    statement: sql`
      select state, model, count(*)::int as value from scoring_job where state in ('queued', 'running') group by state, model
      union all select 'failed', model, count(*)::int from scoring_job where state = 'failed' group by model`,
  },
  // `state in ('queued', 'running')` beside `state = 'queued'` is the condition of the partial indexes
  {
    name: 'hub_scoring_oldest_waiting_seconds',
    help: 'Seconds that the job which waits longest has waited, by model.',
    labels: ['model'],
    statement: sql`
      select model, extract(epoch from now() - min(created))::float8 as value from scoring_job
      where state in ('queued', 'running') and state = 'queued' group by model`,
  },
  {
    name: 'hub_scoring_memory_mebibytes',
    help: 'Memory that the processes which score may use together.',
    labels: [],
    statement: sql`select coalesce(sum(memory_mb), 0)::int as value from scoring_worker where seen > now() - interval '1 minute'`,
  },
  {
    name: 'hub_scoring_awaited_model_jobs',
    help: 'Scoring jobs that wait for a process which carries their model, by model.',
    labels: ['model'],
    statement: sql`
      select j.model, count(*)::int as value from scoring_job j
      where j.state in ('queued', 'running') and j.state = 'queued' and not exists (select from scoring_worker w where ${carries(raw('j.model'))}) group by j.model`,
  },
  {
    name: 'hub_delivery_jobs',
    help: 'Deliveries to a hospital’s archive that wait, run or failed for good (`hub delivery failures`).',
    labels: ['hospital', 'state'],
    statement: sql`
      select recipient_id as hospital, state, count(*)::int as value from delivery_job where state in ('queued', 'running') group by recipient_id, state
      union all select recipient_id, 'failed', count(*)::int from delivery_job where state = 'failed' group by recipient_id`,
  },
  {
    name: 'hub_delivery_oldest_seconds',
    help: 'Seconds since the oldest delivery to a hospital’s archive that is not over was asked for.',
    labels: ['hospital'],
    statement: sql`
      select recipient_id as hospital, extract(epoch from now() - min(created))::float8 as value from delivery_job
      where state in ('queued', 'running') group by recipient_id`,
  },
  {
    name: 'hub_copies_oldest_look_seconds',
    help: 'Seconds since the delivered copy was looked at that waits longest, whether what allowed it still stands.',
    labels: [],
    statement: sql`
      select extract(epoch from now() - checked)::float8 as value from delivered_copy where ended_at is null order by checked limit 1`,
  },
  {
    name: 'hub_result_store_jobs',
    help: 'Documents of scores for a hospital’s archive that wait, are being filed or failed for good (`hub score unfiled`).',
    labels: ['hospital', 'state'],
    statement: sql`
      select custodian_id as hospital, state, count(*)::int as value from result_store_job where state in ('queued', 'running') group by custodian_id, state
      union all select custodian_id, 'failed', count(*)::int from result_store_job where state = 'failed' group by custodian_id`,
  },
  {
    name: 'hub_result_store_oldest_seconds',
    help: 'Seconds since the oldest document for a hospital’s archive that is not filed yet was made.',
    labels: ['hospital'],
    statement: sql`
      select custodian_id as hospital, extract(epoch from now() - min(created))::float8 as value from result_store_job
      where state in ('queued', 'running') group by custodian_id`,
  },
  {
    name: 'hub_connector_lag_seconds',
    help: 'Seconds since a hospital’s source was last read to its end.',
    labels: ['hospital', 'connector', 'kind'],
    statement: sql`select organization_id as hospital, id as connector, kind, extract(epoch from now() - coalesce(last_success, created))::float8 as value from connector where enabled`,
  },
  {
    name: 'hub_connector_backlog_items',
    help: 'Items that a hospital’s source is known to have and that are not indexed yet; absent where it does not tell.',
    labels: ['hospital', 'connector', 'kind'],
    statement: sql`select organization_id as hospital, id as connector, kind, backlog as value from connector where enabled and backlog is not null`,
  },
  {
    name: 'hub_connector_looks',
    help: 'Studies that wait to be looked at again at a hospital’s source.',
    labels: ['connector'],
    statement: sql`select connector_id as connector, count(*)::int as value from source_look group by connector_id`,
  },
  {
    name: 'hub_quarantine_items',
    help: 'Items held in quarantine.',
    labels: ['hospital', 'reason'],
    statement: sql`select custodian_id as hospital, reason, count(*)::int as value from quarantine where state = 'held' group by custodian_id, reason`,
  },
  {
    name: 'hub_break_glass_reviews',
    help: 'Break-glass sessions that wait for a review.',
    labels: ['state'],
    statement: sql`select case when review_due <= now() then 'overdue' else 'owed' end as state, count(*)::int as value from exceptional_access where reviewed_at is null and kind = 'break-glass' group by 1`,
  },
  {
    name: 'hub_outbox_pending',
    help: 'Events that are not delivered yet.',
    labels: [],
    statement: sql`select count(*)::int as value from outbox where delivered is null`,
  },
  {
    name: 'hub_audit_tree_size',
    help: 'Rows of the audit that the last signed tree head covers.',
    labels: [],
    statement: sql`select coalesce(max(tree_size), 0) as value from audit_head`,
  },
  {
    name: 'hub_audit_tree_head_age_seconds',
    help: 'Seconds since the last tree head was signed; it only matters while rows wait.',
    labels: [],
    statement: sql`select extract(epoch from clock_timestamp() - signed)::float8 as value from audit_head order by tree_size desc limit 1`,
  },
];

/** What an operator watches, for Prometheus. A statement that fails leaves its metric out; the rest is still told. */
export function createMetrics(
  server: Server,
  deps: {
    db: Database;
    audit: AuditWriter;
    steps?: Pick<StepCounts, 'all'>;
    walls?: readonly Wall[];
    times?: Pick<ScoreTimes, 'onNote'>;
  },
): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  timeRequests(server, registry);
  const registers = [registry];
  new Gauge({
    name: 'hub_audit_pending_entries',
    help: 'Audit entries that wait to be committed.',
    registers,
    collect() {
      this.set(deps.audit.pending);
    },
  });
  new Gauge({
    name: 'hub_database_connections',
    help: 'Connections of the pool, and requests that wait for one.',
    labelNames: ['state'],
    registers,
    collect() {
      const { totalCount, idleCount, waitingCount } = deps.db.pool;
      for (const [state, value] of Object.entries({ busy: totalCount - idleCount, idle: idleCount, waiting: waitingCount }))
        this.set({ state }, value);
    },
  });
  new Gauge({
    name: 'hub_audit_unsealed_rows',
    help: 'Rows of the audit that are not in the tree yet; counted up to 100,000.',
    registers,
    async collect() {
      this.reset();
      for (const { value } of await unsealedRows(deps.db).catch(() => [])) this.set(value);
    },
  });
  new Counter({
    name: 'hub_connector_steps_total',
    help: 'Steps that this process took from a hospital’s source (messages, studies, records): taken, held in quarantine, or failed and to be sent again.',
    labelNames: ['hospital', 'connector', 'kind', 'result'],
    registers,
    collect() {
      this.reset();
      for (const { steps, ...labels } of deps.steps?.all() ?? []) this.inc({ ...labels }, steps);
    },
  });
  new Gauge({
    name: 'hub_policy_rules_lacking',
    help: 'Rules and groups that came with the program and the policy in force lacks; `hub policy status` names them.',
    registers,
    async collect() {
      this.reset();
      const lacking = await lackingInForce(deps.db).catch(() => undefined);
      if (lacking !== undefined) this.set(lacking);
    },
  });
  new Gauge({
    name: 'hub_scoring_wall',
    help: 'Whether this machine lets the hub build a wall around its scoring processes (1) or not (0); `hub model check` says why.',
    labelNames: ['wall'],
    registers,
    collect() {
      for (const { name, holds } of deps.walls ?? []) this.set({ wall: name }, holds ? 1 : 0);
    },
  });
  const scores = new Histogram({
    name: 'hub_scoring_seconds',
    help: 'Time that an attempt to score took in this process, retrieval included; `scored`, or why it failed.',
    labelNames: ['model', 'outcome'],
    buckets: [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300],
    registers,
  });
  deps.times?.onNote(({ model, outcome, seconds }) => scores.observe({ model, outcome }, seconds));
  for (const gauge of statements) {
    new Gauge({
      name: gauge.name,
      help: gauge.help,
      labelNames: [...gauge.labels],
      registers,
      async collect() {
        this.reset();
        for (const { value, ...labels } of await rowsOrNone(deps.db, gauge.statement)) this.set(labels, value);
      },
    });
  }
  return registry;
}

type Sample = Record<string, string> & { value: never };

async function rowsOrNone(db: Queryable, statement: Sql): Promise<{ value: number; [label: string]: string | number }[]> {
  return db.query<Sample>(statement).catch(() => []);
}

/** By the route's pattern, never by the path: a path holds ids, and there is no end of them. */
function timeRequests(server: Server, registry: Registry): void {
  const duration = new Histogram({
    name: 'hub_http_request_seconds',
    help: 'Time from the first byte of a request to the last byte of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120],
    registers: [registry],
  });
  const throttled = new Counter({
    name: 'hub_requests_throttled_total',
    help: 'Requests refused with 429 because their account, client or address asks too much.',
    labelNames: ['route'],
    registers: [registry],
  });
  server.events.on('response', (request) => {
    const response = request.response;
    const status = response instanceof Error ? 500 : response?.statusCode;
    const seconds = ((request.info.completed || Date.now()) - request.info.received) / 1000;
    if (status === 429) throttled.inc({ route: request.route.path });
    duration.observe({ method: request.method, route: request.route.path, status: String(status ?? 0) }, seconds);
  });
}
