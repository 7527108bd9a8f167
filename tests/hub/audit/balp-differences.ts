/** What the test does by the front door, once each. */
export type Event =
  | 'read of an own record'
  | 'version read of an own record'
  | 'history of an own record'
  | 'read without a patient'
  | 'read by a system'
  | 'read at another organization'
  | 'report read at another organization'
  | 'search without a patient'
  | 'search posted'
  | 'create by a person'
  | 'create by a system'
  | 'create of a report'
  | 'update by a person'
  | 'update of a job'
  | 'update without a patient'
  | 'read that a consent stops'
  | 'token issued';

interface Comparison {
  /** The hub's event that is the same kind of thing. */
  event?: Event;
  /** Why the hub has no such event. */
  not?: string;
  /** What the example states and the hub's event does not, each with the reason. */
  differs?: Readonly<Record<string, string>>;
}

const TEST_DATA = { 'meta.security=http://terminology.hl7.org/CodeSystem/v3-ActReason|HTEST': 'only the examples are test data' };
const CLAIMED = 'the hub claims the profile of the interaction, and follows this one beside it but for the token id';
const TOKEN_ID = {
  'agent[user].policy':
    'who, role, organization, purpose and client are recorded themselves; the token lives for minutes and is not kept',
};
const OBSERVED_HERE = {
  'source.type=http://terminology.hl7.org/CodeSystem/security-source-type|1':
    'recorded by the hub, a server, not by a user device',
};
const NO_DELETE = 'the hub deletes nothing: DELETE is not offered';
const NO_SAML = 'people come with OAuth tokens, not with SAML assertions: see the OAuth examples';

/** The 23 examples by name, without `AuditEvent-ex-audit`. */
export const EXAMPLES: Readonly<Record<string, Comparison>> = {
  'AuthZconsent-deny': {
    event: 'read that a consent stops',
    differs: { ...TEST_DATA, 'outcome=8': 'refused is 4 (minor failure), as for every refusal: 8 means that the hub failed' },
  },
  BasicCreate1: { event: 'create by a person', differs: { ...TEST_DATA } },
  BasicCreateClient: {
    event: 'create by a person',
    differs: {
      ...TEST_DATA,
      'agent[user].type=http://terminology.hl7.org/CodeSystem/v3-ParticipationType|AUT':
        'whoever sends a record informs; who wrote it stands in the record (BALP admits both)',
    },
  },
  BasicCreateNoUser: { event: 'create by a system', differs: { ...TEST_DATA } },
  BasicCreateNoUserReport: { event: 'create of a report', differs: { ...TEST_DATA } },
  BasicDelete2: { not: NO_DELETE },
  BasicDeleteInformant: { not: NO_DELETE },
  BasicDeleteNoUser: { not: NO_DELETE },
  BasicDeleteNoUserReport: { not: NO_DELETE },
  BasicPatch: { not: 'PATCH is not offered: an update replaces' },
  BasicQueryGetNoPatient: {
    event: 'search without a patient',
    differs: {
      ...TEST_DATA,
      'subtype=http://hl7.org/fhir/restful-interaction|search': 'R4 has search-type, which BALP admits, and no code search',
    },
  },
  BasicQueryPost: { event: 'search posted', differs: { ...TEST_DATA } },
  BasicReadNoPatient: { event: 'read without a patient', differs: { ...TEST_DATA } },
  BasicReadOClient: {
    event: 'read of an own record',
    differs: {
      ...TEST_DATA,
      ...TOKEN_ID,
      ...OBSERVED_HERE,
      'meta.profile=https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.OAUTHaccessTokenUse.Opaque': CLAIMED,
    },
  },
  BasicReadOServerMin: {
    event: 'read by a system',
    differs: {
      ...TEST_DATA,
      ...TOKEN_ID,
      'meta.profile=https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.OAUTHaccessTokenUse.Minimal': CLAIMED,
    },
  },
  BasicUpdate1: { event: 'update by a person', differs: { ...TEST_DATA } },
  BasicUpdateNoPatient: {
    event: 'update without a patient',
    differs: {
      ...TEST_DATA,
      'entity[data].role=http://terminology.hl7.org/CodeSystem/object-role|3':
        'what has no patient here is the directory, never a report',
    },
  },
  BasicUpdateNoUserJob: { event: 'update of a job', differs: { ...TEST_DATA } },
  'Poke-SAML-Comp': { not: NO_SAML },
  'Poke-SAML-Min2': { not: NO_SAML },
  'Poke-SAML-QDI-Min': { not: NO_SAML },
  'PrivacyDisclosure-recipient-minCodes': {
    not: 'who receives records keeps his own log; the hub discloses, it does not receive',
  },
  'PrivacyDisclosure-source': {
    event: 'report read at another organization',
    differs: {
      ...TEST_DATA,
      ...OBSERVED_HERE,
      'agent[source].network.type=1': 'the hub is known by its address (URI), the client by its IP address',
      'agent[destination].network.type=5': 'the hub is known by its address (URI), the client by its IP address',
      'agent[patient-advocate].requestor=true':
        'here another organization asked; the patient is named as authorizer where her consent opened it',
      'agent[patient-advocate].type=http://snomed.info/sct|429577009': 'as above',
      'agent[patient-advocate].who': 'as above',
    },
  },
};

/** What the hub's events state beyond the examples, by the beginning of the fact, with the reason. Each one is used. */
export const ADDED: Readonly<Record<string, string>> = {
  'meta.profile': 'the profile that the hub claims where the example claims the one of its token',
  'subtype=http://hl7.org/fhir/restful-interaction|search-type': 'R4 has no code search',
  'subtype=https://federation-hub.example/fhir/CodeSystem/audit-class|': 'the class of event, which the type alone does not tell',
  'agent[application].': 'OAUTHaccessTokenUse: the client of the token, by its client_id, in every event',
  'agent[custodian].': 'PrivacyDisclosure: the organization that holds the record, in every event about one',
  'agent[organization].': 'SAMLaccessTokenUse.Comprehensive: the organization that the user acts for',
  'agent[user].name': 'must-support in BALP',
  'agent[user].purposeOfUse': 'must-support in BALP',
  'agent[user].role': 'must-support in BALP',
  'agent[user].type': 'systems act for themselves where the examples have no user; and by an OAuth token',
  'agent[user].requestor': 'systems act for themselves where the examples have no user',
  'agent[user].who': 'systems act for themselves where the examples have no user',
  'entity[decision].': 'rule, basis and evidence of the decision',
  'entity[request].': 'X-Request-Id, optional in BALP',
  'entity[consent].detail': 'what was tried: the pattern admits no further entity',
  'entity[data].': 'what was shown to whom: BALP leaves what a search found out',
  'agent[source].network': 'as for the other end',
  'agent[destination].network': 'as for the other end',
  'source.site': 'where the hub was reached',
  'source.type': 'recorded by the hub, a server',
  'outcome=4': 'a refusal is a minor failure',
  purposeOfEvent: 'the purpose of the token',
};
