import type { AuditEvent, Coding } from '@medplum/fhirtypes';
import { systems } from '../../fhir-profiles/codes.js';
import { agentsOf } from './agents.js';
import { entitiesOf } from './entities.js';
import { inWords } from './in-words.js';
import { disclosed, type Pattern, patternOf } from './pattern.js';
import { type AuditRow, auditEventId } from './rows.js';
import type { AuditEntry } from './vocabulary.js';

const dcm = (code: string, display: string): Coding => ({ system: systems.dicomTerminology, code, display });
/** An open list: each part of the hub names its own operations. */
const OPERATION = 'https://federation-hub.example/audit-operation';
const BALP = 'https://profiles.ihe.net/ITI/BALP';

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

const DISCLOSE: Coding = {
  system: 'http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle',
  code: 'disclose',
  display: 'Disclose Record Lifecycle Event',
};
const AUTHZ_CONSENT: Coding = {
  system: `${BALP}/CodeSystem/AuthZsubType`,
  code: 'AuthZ-Consent',
  display: 'Authorization Decision using Roles and Consent',
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
  /** Names of organizations by id. */
  names?: ReadonlyMap<string, string>;
}

/**
 * A row as FHIR R4 AuditEvent by the patterns of IHE BALP 1.1 (Basic Audit Log Patterns): read, query, create, update, consent decision, disclosure. Which
 * elements differ from IHE's examples, and why, is listed in tests/hub/audit/balp-differences.ts.
 */
export function toAuditEvent(row: AuditRow, options: ProjectionOptions): AuditEvent {
  const pattern = patternOf(row);
  const profile = profileOf(row, pattern);
  const names = options.names ?? new Map();
  return {
    resourceType: 'AuditEvent',
    id: auditEventId(row),
    ...(profile ? { meta: { profile: [`${BALP}/StructureDefinition/${profile}`] } } : {}),
    text: inWords(row, names),
    type: typeOf(row, pattern),
    subtype: subtypesOf(row, pattern),
    action: pattern === 'consent' ? 'E' : (row.action as AuditEvent['action']),
    recorded: new Date(row.micros / 1000).toISOString(),
    outcome: String(row.outcome) as AuditEvent['outcome'],
    ...(row.detail ? { outcomeDesc: row.detail } : {}),
    ...(row.purpose ? { purposeOfEvent: [{ coding: [{ system: systems.actReason, code: row.purpose }] }] } : {}),
    agent: agentsOf(row, pattern, options.fhirBase, names),
    source: {
      site: new URL(options.fhirBase).host,
      observer: { display: 'Regional imaging federation hub' },
      type: [
        pattern === 'consent'
          ? { system: 'http://terminology.hl7.org/CodeSystem/security-source-type', code: '6', display: 'Security Server' }
          : { system: 'http://terminology.hl7.org/CodeSystem/security-source-type', code: '4', display: 'Application Server' },
      ],
    },
    entity: entitiesOf(row, pattern, options.showQuery),
  };
}

/** The BALP profile that the event conforms to. The basic ones are for what succeeded; token issue (IUA ITI-71) wants the raw request, which holds secrets. */
function profileOf(row: AuditRow, pattern: Pattern): string | undefined {
  if (pattern === 'consent') return 'IHE.BasicAudit.AuthZconsent';
  if (pattern === 'disclosure') return 'IHE.BasicAudit.PrivacyDisclosure.Source';
  const name = { read: 'Read', query: 'Query', create: 'Create', update: 'Update' }[pattern as 'read'];
  const isWhole =
    row.outcome === 0 && Boolean(row.address) && (pattern === 'query' ? row.query !== null : row.entity.length === 1);
  return name && isWhole ? `IHE.BasicAudit.${row.patient_id ? 'Patient' : ''}${name}` : undefined;
}

function typeOf(row: AuditRow, pattern: Pattern): Coding {
  if (pattern === 'consent') return TYPES.access;
  return pattern === 'disclosure' ? TYPES.export : TYPES[row.type as AuditEntry['type']];
}

/**
 * The operation, then the hub's class of event, which the types alone do not tell apart; before them, that a record was disclosed. A decision by consent has
 * BALP's one code: its profile admits no other.
 */
function subtypesOf(row: AuditRow, pattern: Pattern): Coding[] {
  if (pattern === 'consent') return [AUTHZ_CONSENT];
  const operation = INTERACTIONS.has(row.subtype)
    ? { system: systems.restfulInteraction, code: row.subtype, display: row.subtype }
    : { system: OPERATION, code: row.subtype };
  return [...(disclosed.test(row) ? [DISCLOSE] : []), operation, { system: systems.auditClass, code: row.type }];
}
