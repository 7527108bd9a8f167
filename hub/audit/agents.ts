import type { AuditEventAgent, AuditEventAgentNetwork, Coding, Reference } from '@medplum/fhirtypes';
import { systems } from '../../fhir-profiles/codes.js';
import { evidenceOf, type Pattern } from './pattern.js';
import type { AuditRow } from './rows.js';

const PARTICIPATION = 'http://terminology.hl7.org/CodeSystem/v3-ParticipationType';
const USER_AGENTS = 'https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes';

const dcm = (code: string, display: string): Coding => ({ system: systems.dicomTerminology, code, display });
const SOURCE = dcm('110153', 'Source Role ID');
const DESTINATION = dcm('110152', 'Destination Role ID');
const APPLICATION = dcm('110150', 'Application');
const AUTHORIZATION_SERVER: Coding = { system: systems.extraSecurityRole, code: 'authserver', display: 'authorization server' };
const TOKEN_SERVER: Coding = { system: USER_AGENTS, code: 'AuthzOauthService' };
const PROVIDER: Coding = {
  system: 'http://terminology.hl7.org/CodeSystem/v3-RoleClass',
  code: 'PROV',
  display: 'healthcare provider',
};
const CUSTODIAN: Coding = { system: systems.snomed, code: '159541003', display: 'Record keeping/library clerk' };
const AUTHORIZER: Coding = { system: systems.snomed, code: '429577009', display: 'Patient Advocate' };

interface Node {
  who: Reference<never>;
  network?: AuditEventAgentNetwork;
}

/** Who took part, in the roles that the pattern of IHE BALP gives them; then the organization that asked and the one that holds the record. */
export function agentsOf(
  row: AuditRow,
  pattern: Pattern,
  fhirBase: string,
  names: ReadonlyMap<string, string>,
): AuditEventAgent[] {
  const server: Node = { who: { display: 'Regional imaging federation hub' }, network: { address: fhirBase, type: '5' } };
  const client: Node = {
    who: row.client_id ? { identifier: { value: row.client_id } } : { display: 'unknown' },
    ...(row.address ? { network: { address: row.address, type: '2' } } : {}),
  };
  return [
    ...nodes(row, pattern, client, server),
    user(row),
    ...(row.organization_id ? [agent(PROVIDER, named(row.organization_id, names))] : []),
    ...(row.custodian_id ? [agent(CUSTODIAN, named(row.custodian_id, names))] : []),
    ...(pattern === 'disclosure' && isPermitted(row)
      ? [agent(AUTHORIZER, { who: { reference: `Patient/${row.patient_id}` } })]
      : []),
  ];
}

/** The patient herself opened it: a consent of hers is what the decision rests on. */
const isPermitted = (row: AuditRow): boolean => evidenceOf(row).some((e) => e.kind === 'consent');

/**
 * The two ends. What was read flows from the hub, what was written or asked flows to it (so does a query, in DICOM and IHE). The client is named again as
 * the application, by which IHE finds all that was done with its tokens.
 */
function nodes(row: AuditRow, pattern: Pattern, client: Node, server: Node): AuditEventAgent[] {
  if (pattern === 'consent') return [agent(APPLICATION, client), agent(AUTHORIZATION_SERVER, { who: server.who })];
  if (pattern === 'token') return [agent(APPLICATION, client), agent(TOKEN_SERVER, server)];
  const [source, destination] = row.action === 'R' ? [server, client] : [client, server];
  return [agent(SOURCE, source), agent(DESTINATION, destination), ...(row.client_id ? [agent(APPLICATION, client)] : [])];
}

const agent = (type: Coding, node: Node): AuditEventAgent => ({ type: { coding: [type] }, requestor: false, ...node });

function user(row: AuditRow): AuditEventAgent {
  const isWriting = row.action === 'C' || row.action === 'U';
  const participation = isWriting
    ? { system: PARTICIPATION, code: 'INF', display: 'informant' }
    : { system: PARTICIPATION, code: 'IRCP', display: 'information recipient' };
  const byToken = row.client_id ? [{ system: USER_AGENTS, code: 'UserOauthAgent' }] : [];
  return {
    type: { coding: [participation, ...byToken] },
    ...(row.role ? { role: [{ coding: [{ system: systems.role, code: row.role }] }] } : {}),
    who: who(row),
    ...(row.agent_name ? { name: row.agent_name } : {}),
    requestor: true,
    ...(row.purpose ? { purposeOfUse: [{ coding: [{ system: systems.actReason, code: row.purpose }] }] } : {}),
  };
}

/** People on record are references; systems and accounts are no FHIR resources. */
function who(row: AuditRow): Reference<never> {
  const display = row.agent_name ? { display: row.agent_name } : {};
  const identifier = { value: row.agent };
  return /^(Practitioner|Patient|RelatedPerson)\//.test(row.agent)
    ? { reference: row.agent, identifier, ...display }
    : { identifier, ...display };
}

function named(id: string, names: ReadonlyMap<string, string>): Node {
  const name = names.get(id);
  return { who: { reference: `Organization/${id}`, ...(name ? { display: name } : {}) } };
}
