import type { AuditEvent, AuditEventAgent, AuditEventEntity, Coding, Reference } from '@medplum/fhirtypes';
import { systems } from '../../fhir-profiles/codes.js';
import { type AuditRow, auditEventId } from './rows.js';
import type { AuditEntry } from './vocabulary.js';

const DCM = systems.dicomTerminology;
const dcm = (code: string, display: string): Coding => ({ system: DCM, code, display });
/** An open list: each part of the hub names its own operations. */
const OPERATION = 'https://federation-hub.example/audit-operation';
const CLASS = systems.auditClass;
const ROLE = systems.role;

/** AuditEvent.type by class of event: DICOM PS3.16 CID 400 (Audit Event ID), and FHIR's own for RESTful interactions. */
const TYPES: Readonly<Record<AuditEntry['type'], Coding>> = {
  rest: { system: systems.auditEventType, code: 'rest', display: 'Restful Operation' },
  query: dcm('110112', 'Query'),
  export: dcm('110106', 'Export'),
  ingest: dcm('110107', 'Import'),
  authentication: dcm('110114', 'User Authentication'),
  policy: dcm('110113', 'Security Alert'),
  access: dcm('110113', 'Security Alert'),
  identity: dcm('110110', 'Patient Record'),
  referral: dcm('110109', 'Order Record'),
  scoring: dcm('110111', 'Procedure Record'),
};

const INTERACTIONS = new Set([
  'read',
  'vread',
  'update',
  'patch',
  'delete',
  'history-instance',
  'history-type',
  'create',
  'search-type',
  'search-system',
  'capabilities',
  'transaction',
  'batch',
  'operation',
]);

export interface ProjectionOptions {
  /** Base of the FHIR face: where the hub was reached. */
  fhirBase: string;
  /** Whether the reader may see the search as it was typed (mayReadQuery). */
  showQuery: boolean;
}

/** A row as FHIR R4 AuditEvent along IHE BALP (Basic Audit Log Patterns): user, client, server and organization as agents; patient, records, query, decision and request id as entities. */
export function toAuditEvent(row: AuditRow, options: ProjectionOptions): AuditEvent {
  return {
    resourceType: 'AuditEvent',
    id: auditEventId(row),
    type: TYPES[row.type as AuditEntry['type']],
    subtype: subtypes(row),
    action: row.action as AuditEvent['action'],
    recorded: new Date(row.micros / 1000).toISOString(),
    outcome: String(row.outcome) as AuditEvent['outcome'],
    ...(row.detail ? { outcomeDesc: row.detail } : {}),
    ...(row.purpose ? { purposeOfEvent: [purpose(row.purpose)] } : {}),
    agent: agents(row, options.fhirBase),
    source: {
      site: new URL(options.fhirBase).host,
      observer: { display: 'Regional imaging federation hub' },
      type: [{ system: 'http://terminology.hl7.org/CodeSystem/security-source-type', code: '4', display: 'Application Server' }],
    },
    entity: entities(row, options.showQuery),
  };
}

/** The operation, then the hub's class of event, which the DICOM types alone do not tell apart. */
function subtypes(row: AuditRow): Coding[] {
  const system = INTERACTIONS.has(row.subtype) ? systems.restfulInteraction : OPERATION;
  return [
    { system, code: row.subtype },
    { system: CLASS, code: row.type },
  ];
}

const purpose = (code: string) => ({ coding: [{ system: systems.actReason, code }] });

function agents(row: AuditRow, fhirBase: string): AuditEventAgent[] {
  const read = row.action === 'R';
  const server = { who: { display: 'Regional imaging federation hub' }, network: { address: fhirBase, type: '5' as const } };
  const client = {
    who: row.client_id ? { identifier: { value: row.client_id } } : { display: 'unknown' },
    ...(row.address ? { network: { address: row.address, type: '2' as const } } : {}),
  };
  return [
    user(row),
    { type: { coding: [dcm('110153', 'Source Role ID')] }, requestor: false, ...(read ? server : client) },
    { type: { coding: [dcm('110152', 'Destination Role ID')] }, requestor: false, ...(read ? client : server) },
    ...(row.organization_id ? [organization(row.organization_id)] : []),
  ];
}

function user(row: AuditRow): AuditEventAgent {
  const code = row.action === 'C' || row.action === 'U' ? 'INF' : 'IRCP';
  const display = code === 'INF' ? 'informant' : 'information recipient';
  return {
    type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ParticipationType', code, display }] },
    ...(row.role ? { role: [{ coding: [{ system: ROLE, code: row.role }] }] } : {}),
    who: who(row),
    requestor: true,
    ...(row.purpose ? { purposeOfUse: [purpose(row.purpose)] } : {}),
  };
}

/** People on record are references; systems and accounts are no FHIR resources. */
function who(row: AuditRow): Reference<never> {
  const display = row.agent_name ? { display: row.agent_name } : {};
  return /^(Practitioner|Patient)\//.test(row.agent)
    ? { reference: row.agent, ...display }
    : { identifier: { value: row.agent }, ...display };
}

const organization = (id: string): AuditEventAgent => ({
  type: {
    coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-RoleClass', code: 'PROV', display: 'healthcare provider' }],
  },
  who: { reference: `Organization/${id}` },
  requestor: false,
});

const kind = (code: string, display: string): Coding => ({ system: systems.auditEntityType, code, display });
const role = (code: string, display: string): Coding => ({ system: systems.auditEntityRole, code, display });

function entities(row: AuditRow, showQuery: boolean): AuditEventEntity[] {
  const found: AuditEventEntity[] = [];
  if (row.patient_id)
    found.push({ what: { reference: `Patient/${row.patient_id}` }, type: kind('1', 'Person'), role: role('1', 'Patient') });
  for (const reference of row.entity)
    found.push({ what: record(reference), type: kind('2', 'System Object'), role: role('4', 'Domain Resource') });
  if (row.custodian_id)
    found.push({
      what: { reference: `Organization/${row.custodian_id}` },
      type: kind('3', 'Organization'),
      role: role('17', 'Data Repository'),
    });
  if (row.query !== null && showQuery) {
    found.push({ type: kind('2', 'System Object'), role: role('24', 'Query'), query: Buffer.from(row.query).toString('base64') });
  }
  if (row.rule) found.push(decision(row));
  found.push({
    what: { identifier: { value: row.request_id } },
    type: { system: 'https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType', code: 'XrequestId' },
  });
  return found;
}

function record(reference: string): Reference<never> {
  return /^[A-Z][A-Za-z]+\/[A-Za-z0-9.-]{1,64}$/.test(reference) ? { reference } : { identifier: { value: reference } };
}

/** Rule, basis and evidence of the policy's decision. */
function decision(row: AuditRow): AuditEventEntity {
  const evidence = Array.isArray(row.evidence) ? (row.evidence as Record<string, unknown>[]) : [];
  const details = [
    ['rule', row.rule],
    ['basis', row.basis],
    ...evidence.map((e) => ['evidence', [e.kind, e.id, e.version, e.provision].filter((part) => part !== undefined).join(' ')]),
  ];
  return {
    type: kind('2', 'System Object'),
    role: role('13', 'Security Resource'),
    name: 'policy decision',
    detail: details.filter(([, value]) => value).map(([type, value]) => ({ type: String(type), valueString: String(value) })),
  };
}
