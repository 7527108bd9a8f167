import { createHash } from 'node:crypto';
import { mapInTurn } from '../store/in-turn.js';
import { clusterOf } from '../identity/cluster.js';
import { agentOf } from '../access/write-request.js';
import { toAuditEvent } from '../audit/audit-event.js';
import { auditFilter, mayReadQuery } from '../audit/audit-filter.js';
import { type AuditPosition, type AuditRow, auditEventId, parseAuditEventId } from '../audit/rows.js';
import { type AuditCriteria, readAuditEvent, searchAuditEvents } from '../audit/search.js';
import { parseAuditSearch, positionOf } from '../audit/search-parameters.js';
import { forbidden, notFound } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { type Link, searchset } from './bundle.js';
import type { FhirDeps, FhirRequest, FhirResponse } from './exchange.js';

/** AuditEvent, read and searched (IHE BALP): auditors see all, a patient what concerns her, an administrator his hospital's. Reading the audit is audited. */
export async function auditEvents(deps: FhirDeps, request: FhirRequest): Promise<FhirResponse> {
  const id = request.path[1];
  return id === undefined || id === '_search' ? search(deps, request) : read(deps, request, id);
}

async function read(deps: FhirDeps, request: FhirRequest, id: string): Promise<FhirResponse> {
  const at = parseAuditEventId(id);
  const row = at && (await deps.db.snapshot(async (tx) => readAuditEvent(tx, await filterFor(deps, tx, request), at)));
  await audited(deps, request, 'read', row ? [row.patient_id] : []);
  if (!row) throw notFound();
  return { status: 200, body: JSON.stringify(project(deps, request, row)) };
}

async function search(deps: FhirDeps, request: FhirRequest): Promise<FhirResponse> {
  const { config, cursors } = deps;
  const asked = parseAuditSearch(request.query, { strict: request.strict, maxPage: config.maxPage, utcOffset: config.utcOffset });
  const used = request.query.filter(([name]) => name !== '_cursor' && !asked.ignored.includes(name));
  const binding = createHash('sha256')
    .update(JSON.stringify([request.caller.id, request.caller.role, 'AuditEvent', used]))
    .digest('base64url');
  const after = asked.cursor === undefined ? undefined : positionOf(cursors.open(asked.cursor, binding).id);
  const page = await deps.db.snapshot(async (tx) => {
    const criteria: AuditCriteria = { ...asked.criteria, patients: await withClusters(tx, asked.criteria.patients), after };
    return searchAuditEvents(tx, await filterFor(deps, tx, request), criteria);
  });
  await audited(deps, request, 'search-type', [...new Set(page.rows.map((r) => r.patient_id))]);
  return { status: 200, body: bundle(deps, request, used, page, binding) };
}

/** @throws Refusal 403 when the caller's role reads no audit at all. */
async function filterFor(deps: FhirDeps, tx: Queryable, { caller, context }: FhirRequest) {
  const access = await deps.access.forCaller(tx, caller);
  if (!access.decideGeneral('audit-read', 'AuditEvent').allowed) {
    await deps.audit.commit([
      {
        ...agentOf(caller, context),
        type: 'rest',
        subtype: 'read',
        action: 'R',
        outcome: 4,
        entity: ['AuditEvent'],
        detail: 'forbidden',
      },
    ]);
    throw forbidden(`The role ${caller.role} does not read the audit.`);
  }
  return auditFilter(caller, caller.patientId ? await clusterOf(tx, caller.patientId) : []);
}

/** A search by one Patient finds what was done to the person's records at every hospital. */
async function withClusters(tx: Queryable, patients: readonly string[] | undefined): Promise<string[] | undefined> {
  if (!patients) return undefined;
  const clusters = await mapInTurn(patients.slice(0, 100), (id) => clusterOf(tx, id));
  return [...new Set(clusters.flat())];
}

async function audited(deps: FhirDeps, request: FhirRequest, subtype: string, patients: readonly string[]): Promise<void> {
  const query = `AuditEvent?${request.query.map(([n, v]) => `${n}=${v}`).join('&')}`.slice(0, 4000);
  const entry = {
    ...agentOf(request.caller, request.context),
    type: 'rest' as const,
    subtype,
    action: subtype === 'read' ? ('R' as const) : ('E' as const),
    outcome: 0 as const,
    entity: ['AuditEvent'],
    query,
  };
  await deps.audit.commit(patients.length > 0 ? patients.map((patientId) => ({ ...entry, patientId })) : [entry]);
}

const project = (deps: FhirDeps, request: FhirRequest, row: AuditRow) =>
  toAuditEvent(row, { fhirBase: `${deps.config.publicUrl}/fhir`, showQuery: mayReadQuery(request.caller, row) });

function bundle(
  deps: FhirDeps,
  request: FhirRequest,
  used: readonly (readonly [string, string])[],
  page: { rows: AuditRow[]; next?: AuditPosition },
  binding: string,
): string {
  const base = `${deps.config.publicUrl}/fhir/AuditEvent`;
  const url = (extra: [string, string][]): string => {
    const text = new URLSearchParams([...used.map(([n, v]): [string, string] => [n, v]), ...extra]).toString();
    return text ? `${base}?${text}` : base;
  };
  const links: Link[] = [{ relation: 'self', url: url([]) }];
  if (page.next)
    links.push({
      relation: 'next',
      url: url([['_cursor', deps.cursors.sign({ value: '', id: auditEventId(page.next as AuditRow) }, binding)]]),
    });
  const entries = page.rows.map((row) => ({
    fullUrl: `${base}/${auditEventId(row)}`,
    resource: JSON.stringify(project(deps, request, row)),
  }));
  return searchset(links, entries, undefined);
}
