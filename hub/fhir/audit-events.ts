import { createHash } from 'node:crypto';
import { mapInTurn } from '../store/in-turn.js';
import { clusterOf } from '../identity/cluster.js';
import type { Caller } from '../access/caller.js';
import { wardsOf } from '../access/guardians/guardianships.sql.js';
import { agentOf } from '../access/write-request.js';
import type { AuditEntry } from '../audit/vocabulary.js';
import { findResource } from '../store/resources.js';
import { toAuditEvent } from '../audit/audit-event.js';
import { auditView, mayReadQuery } from '../audit/audit-filter.js';
import { organizationNames } from '../audit/organization-names.js';
import { type AuditPosition, type AuditRow, auditEventId, parseAuditEventId } from '../audit/rows.js';
import { openQuery } from '../audit/sealed-query.js';
import { type AuditCriteria, readAuditEvent, searchAuditEvents } from '../audit/search.js';
import { parseAuditSearch, positionOf } from '../audit/search-parameters.js';
import { forbidden, notFound } from '../outcomes.js';
import type { Queryable } from '../store/database.js';
import { type Link, searchset } from './bundle.js';
import type { FhirDeps, FhirRequest, FhirResponse } from './exchange.js';
import { assertRecordable, queryText } from './search-audit.js';

/** AuditEvent, read and searched (IHE BALP): auditors see all, a patient what concerns her, an administrator his hospital's. Reading the audit is audited. */
export async function auditEvents(deps: FhirDeps, request: FhirRequest): Promise<FhirResponse> {
  const id = request.path[1];
  return id === undefined || id === '_search' ? search(deps, request) : read(deps, request, id);
}

async function read(deps: FhirDeps, request: FhirRequest, id: string): Promise<FhirResponse> {
  const at = parseAuditEventId(id);
  const row = at && (await deps.db.snapshot(async (tx) => readAuditEvent(tx, await viewFor(deps, tx, request), at)));
  await audited(deps, request, 'read', row ? [row] : []);
  if (!row) throw notFound();
  return { status: 200, body: JSON.stringify(project(deps, request, row, await organizationNames(deps.db, [row]))) };
}

async function search(deps: FhirDeps, request: FhirRequest): Promise<FhirResponse> {
  const { config, cursors } = deps;
  assertRecordable(request);
  const asked = parseAuditSearch(request.query, { strict: request.strict, maxPage: config.maxPage, utcOffset: config.utcOffset });
  const used = request.query.filter(([name]) => name !== '_cursor' && !asked.ignored.includes(name));
  const binding = createHash('sha256')
    .update(JSON.stringify([request.caller.id, request.caller.role, 'AuditEvent', used]))
    .digest('base64url');
  const after = asked.cursor === undefined ? undefined : positionOf(cursors.open(asked.cursor, binding).id);
  const page = await deps.db.snapshot(async (tx) => {
    const criteria: AuditCriteria = {
      ...asked.criteria,
      patients: await withClusters(tx, request.caller, asked.criteria.patients),
      after,
    };
    return searchAuditEvents(tx, await viewFor(deps, tx, request), criteria);
  });
  await audited(deps, request, 'search-type', page.rows);
  const names = await organizationNames(deps.db, page.rows);
  return { status: 200, body: bundle(deps, request, used, { ...page, names }, binding) };
}

/** @throws Refusal 403 when the caller's role reads no audit at all. */
async function viewFor(deps: FhirDeps, tx: Queryable, { caller, context }: FhirRequest) {
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
  const wards = await wardsOf(tx, caller, deps.config);
  return auditView(caller, [
    ...(caller.patientId ? await clusterOf(tx, caller.patientId) : []),
    ...wards.map((ward) => ward.patient),
  ]);
}

/**
 * A search by one Patient finds what was done to the person's records at every hospital. An administrator learns who belongs together only
 * of his own hospital's Patients.
 */
async function withClusters(
  tx: Queryable,
  caller: Caller,
  patients: readonly string[] | undefined,
): Promise<string[] | undefined> {
  if (!patients) return undefined;
  const clusters = await mapInTurn(patients.slice(0, 100), async (id) => {
    const isClosed = caller.role === 'hospital-administrator' && !(await isOwnPatient(tx, caller, id));
    return isClosed ? [id] : clusterOf(tx, id);
  });
  return [...new Set(clusters.flat())];
}

const isOwnPatient = async (tx: Queryable, { organizationId }: Caller, id: string): Promise<boolean> =>
  (await findResource(tx, 'Patient', id))?.custodian_id === organizationId;

/** One entry for each patient and custodian whose events were shown. */
async function audited(deps: FhirDeps, request: FhirRequest, subtype: string, shown: readonly AuditRow[]): Promise<void> {
  const isRead = subtype === 'read';
  const entry: AuditEntry = {
    ...agentOf(request.caller, request.context),
    type: 'rest',
    subtype,
    action: isRead ? 'R' : 'E',
    outcome: isRead && shown.length === 0 ? 4 : 0,
    entity: [isRead ? request.path.join('/') : 'AuditEvent'],
    ...(isRead ? {} : { query: queryText(request) }),
  };
  const concerned = new Map(shown.map((row) => [`${row.patient_id} ${row.custodian_id}`, row]));
  const entries = [...concerned.values()].map((row) => ({
    ...entry,
    patientId: row.patient_id,
    custodianId: row.custodian_id ?? undefined,
  }));
  await deps.audit.commit(entries.length > 0 ? entries : [entry]);
}

function project(deps: FhirDeps, request: FhirRequest, row: AuditRow, names: ReadonlyMap<string, string>) {
  const showQuery = mayReadQuery(request.caller, row);
  const opened = showQuery ? { ...row, query: openQuery(deps.db.protection, row) } : row;
  return toAuditEvent(opened, { fhirBase: `${deps.config.publicUrl}/fhir`, showQuery, names });
}

function bundle(
  deps: FhirDeps,
  request: FhirRequest,
  used: readonly (readonly [string, string])[],
  page: { rows: AuditRow[]; names: ReadonlyMap<string, string>; next?: AuditPosition },
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
    resource: JSON.stringify(project(deps, request, row, page.names)),
  }));
  return searchset(links, entries, undefined);
}
