import type { AuditEventEntity, AuditEventEntityDetail, Coding, Reference } from '@medplum/fhirtypes';
import { systems } from '../../fhir-profiles/codes.js';
import { evidenceOf, type EvidenceOfRow, type Pattern } from './pattern.js';
import type { AuditRow } from './rows.js';

const RESOURCE_TYPES = 'http://hl7.org/fhir/resource-types';
const kind = (code: string, display: string): Coding => ({ system: systems.auditEntityType, code, display });
const role = (code: string, display: string): Coding => ({ system: systems.auditEntityRole, code, display });
const OBJECT = kind('2', 'System Object');

/** What it was about, in the roles that the pattern of IHE BALP gives it: the patient, the records, the search, the decision, the request. */
export function entitiesOf(row: AuditRow, pattern: Pattern, showQuery: boolean): AuditEventEntity[] {
  const patient = row.patient_id
    ? [{ what: { reference: `Patient/${row.patient_id}` }, type: kind('1', 'Person'), role: role('1', 'Patient') }]
    : [];
  if (pattern === 'consent') return [...patient, ...consents(row, showQuery)];
  return [
    ...patient,
    ...row.entity.map((reference, i) => record(row, reference, pattern, i === 0 && showQuery)),
    ...(isAsked(row, pattern) ? [query(row.query ?? '', showQuery)] : []),
    ...(row.rule || row.basis ? [decision(row)] : []),
    {
      what: { identifier: { value: row.request_id } },
      type: { system: 'https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType', code: 'XrequestId' },
    },
  ];
}

/** What a request about one record was is a detail of that record: a read has no query. */
const isAsked = (row: AuditRow, pattern: Pattern): boolean =>
  row.query !== null && (pattern === 'query' || row.entity.length === 0);

/** RestObjectRoles of BALP. */
const ROLES: Readonly<Record<string, Coding>> = { DiagnosticReport: role('3', 'Report'), Task: role('20', 'Job') };

/** A record. What a search found goes by its resource type: the one system object of a query is the query. */
function record(row: AuditRow, reference: string, pattern: Pattern, withRequest: boolean): AuditEventEntity {
  const [type = ''] = reference.split('/');
  const isResource = /^[A-Z][A-Za-z]+\/[A-Za-z0-9.-]{1,64}$/.test(reference);
  const found = { system: RESOURCE_TYPES, code: isResource ? type : 'Bundle' };
  return {
    what: (isResource ? { reference } : { identifier: { value: reference } }) as Reference<never>,
    type: pattern === 'query' ? found : OBJECT,
    role: ROLES[type] ?? role('4', 'Domain Resource'),
    ...(withRequest && row.query !== null && pattern !== 'query' ? { detail: [detail('request', row.query)] } : {}),
  };
}

/** The search as it was typed or, where the reader may not see for whom else, what kind of record it was for. */
function query(typed: string, showQuery: boolean): AuditEventEntity {
  const description = showQuery ? typed : `${typed.split('?')[0]}?...`;
  return { type: OBJECT, role: role('24', 'Query'), description, query: Buffer.from(description).toString('base64') };
}

const detail = (type: string, value: string): AuditEventEntityDetail => ({ type, valueString: value });

const inWords = ({ kind: k, id, version, provision }: EvidenceOfRow): string =>
  [k, id, version, provision].filter((part) => part !== undefined && part !== null).join(' ');

/** Rule, basis and evidence of the policy's decision. */
function decision(row: AuditRow): AuditEventEntity {
  return {
    type: kind('4', 'Other'),
    role: role('13', 'Security Resource'),
    name: 'policy decision',
    detail: [
      ...(row.rule ? [detail('rule', row.rule)] : []),
      ...(row.basis ? [detail('basis', row.basis)] : []),
      ...(row.policy_epoch ? [detail('policy-epoch', String(row.policy_epoch))] : []),
      ...evidenceOf(row).map((e) => detail('evidence', inWords(e))),
    ],
  };
}

/** The consents that stopped it. Their pattern admits no further entity: what was tried stands in the details of the first. */
function consents(row: AuditRow, showQuery: boolean): AuditEventEntity[] {
  const tried = [
    detail('operation', row.subtype),
    detail('class', row.type),
    ...row.entity.map((reference) => detail('record', reference)),
    ...(row.query !== null && showQuery ? [detail('request', row.query)] : []),
    ...(row.rule ? [detail('rule', row.rule)] : []),
    detail('request-id', row.request_id),
  ];
  const stopping = evidenceOf(row).filter((e) => e.kind === 'consent');
  const ids = [...new Set(stopping.map((e) => e.id))];
  return ids.map((id, i) => ({
    what: { reference: `Consent/${id}` },
    type: { system: RESOURCE_TYPES, code: 'Consent', display: 'Consent' },
    detail: [...stopping.filter((e) => e.id === id).map((e) => detail('evidence', inWords(e))), ...(i === 0 ? tried : [])],
  }));
}
