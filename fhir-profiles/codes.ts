/** Systems and codes that the hub reads and writes, as typed constants. Standards' own names are kept. */

/** Base of the canonical URLs of the project's own definitions. */
export const CANONICAL_BASE = 'https://federation-hub.example/fhir';

const own = <const T extends string>(kind: string, id: T) => `${CANONICAL_BASE}/${kind}/${id}` as const;

/** Code systems and identifier systems. */
export const systems = {
  /** DICOM Controlled Terminology, PS3.16 Annex D. */
  dicomTerminology: 'http://dicom.nema.org/resources/ontology/DCM',
  /** Identifier.system of DICOM UIDs; the value is `urn:oid:` and the UID (FHIR R4 ImagingStudy, notes). */
  dicomUid: 'urn:dicom:uid',
  /** System of URIs, used for SOP classes: the code is `urn:oid:` and the UID. */
  uri: 'urn:ietf:rfc:3986',
  snomed: 'http://snomed.info/sct',
  loinc: 'http://loinc.org',
  ucum: 'http://unitsofmeasure.org',
  identifierType: 'http://terminology.hl7.org/CodeSystem/v2-0203',
  observationValue: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue',
  observationInterpretation: 'http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation',
  observationCategory: 'http://terminology.hl7.org/CodeSystem/observation-category',
  diagnosticServiceSection: 'http://terminology.hl7.org/CodeSystem/v2-0074',
  /** Purposes of use are among HL7 v3 ActReason. */
  actReason: 'http://terminology.hl7.org/CodeSystem/v3-ActReason',
  actCode: 'http://terminology.hl7.org/CodeSystem/v3-ActCode',
  confidentiality: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality',
  consentScope: 'http://terminology.hl7.org/CodeSystem/consentscope',
  consentCategory: 'http://terminology.hl7.org/CodeSystem/consentcategorycodes',
  consentAction: 'http://terminology.hl7.org/CodeSystem/consentaction',
  resourceTypes: 'http://hl7.org/fhir/resource-types',
  consentPolicy: 'http://terminology.hl7.org/CodeSystem/consentpolicycodes',
  auditEventType: 'http://terminology.hl7.org/CodeSystem/audit-event-type',
  restfulInteraction: 'http://hl7.org/fhir/restful-interaction',
  auditEntityType: 'http://terminology.hl7.org/CodeSystem/audit-entity-type',
  auditEntityRole: 'http://terminology.hl7.org/CodeSystem/object-role',
  provenanceParticipantType: 'http://terminology.hl7.org/CodeSystem/provenance-participant-type',
  extraSecurityRole: 'http://terminology.hl7.org/CodeSystem/extra-security-role-type',
  endpointConnectionType: 'http://terminology.hl7.org/CodeSystem/endpoint-connection-type',
  organizationType: 'http://terminology.hl7.org/CodeSystem/organization-type',
  /** Resident identity card number (居民身份证号) in Chinese health documents. */
  nationalIdentifier: 'urn:oid:2.16.156.10011.1.3',
  /** Resident health card number (居民健康卡号). */
  healthCard: 'urn:oid:2.16.156.10011.1.19',
  /** Medical insurance number (医保号) of a region that has no system of its own for it. */
  medicalInsurance: own('NamingSystem', 'medical-insurance'),
  taskKind: own('CodeSystem', 'task-kind'),
  businessStatus: own('CodeSystem', 'business-status'),
  denialReason: own('CodeSystem', 'denial-reason'),
  quarantineReason: own('CodeSystem', 'quarantine-reason'),
  affiliationKind: own('CodeSystem', 'affiliation-kind'),
  completeness: own('CodeSystem', 'completeness'),
  organizationKind: own('CodeSystem', 'organization-kind'),
  role: own('CodeSystem', 'role'),
  auditClass: own('CodeSystem', 'audit-class'),
  modelOutput: own('CodeSystem', 'model-output'),
  deliveryDetail: own('CodeSystem', 'delivery-detail'),
  /** What a physician says of a machine's report, and why. */
  reviewDecision: own('CodeSystem', 'review-decision'),
  reviewReason: own('CodeSystem', 'review-reason'),
} as const;

/** Extensions that the hub writes or reads. */
export const extensions = {
  custodian: own('StructureDefinition', 'custodian'),
  completeness: own('StructureDefinition', 'completeness'),
  sharingScope: own('StructureDefinition', 'sharing-scope'),
  /** On an ImagingStudy as it is shown: some of its series are not. */
  withheldParts: own('StructureDefinition', 'withheld-parts'),
  patientAssigner: own('StructureDefinition', 'patient-assigner'),
  /** On a machine's report: the newer one that has taken its place. */
  supersededBy: own('StructureDefinition', 'superseded-by'),
  /** How a name is written: `SYL` is the phonetic component group of a DICOM Person Name. */
  nameRepresentation: 'http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation',
  dataAbsentReason: 'http://hl7.org/fhir/StructureDefinition/data-absent-reason',
} as const;

/** Profiles that validation applies. */
export const profiles = {
  imagingStudy: own('StructureDefinition', 'imaging-study'),
  privacyConsent: own('StructureDefinition', 'privacy-consent'),
  scoringRequest: own('StructureDefinition', 'scoring-request'),
  consultationRequest: own('StructureDefinition', 'consultation-request'),
  deliveryRequest: own('StructureDefinition', 'delivery-request'),
  releaseRequest: own('StructureDefinition', 'release-request'),
  sharingAgreement: own('StructureDefinition', 'sharing-agreement'),
  consortiumMembership: own('StructureDefinition', 'consortium-membership'),
  scheduledAppointment: own('StructureDefinition', 'scheduled-appointment'),
} as const;

/** Search parameter `modality` of study and series. */
export const modalitySearchParameter = own('SearchParameter', 'imagingstudy-modality');

/** Task.code.coding.code in `systems.taskKind`. */
export const taskKinds = ['scoring-request', 'consultation-request', 'release-request', 'delivery-request'] as const;

/** Types of Task.input and Task.output of a delivery request, codes of `systems.deliveryDetail`. */
export const deliveryDetails = [
  'series',
  'accession-number',
  'instances-total',
  'instances-delivered',
  'instances-failed',
  'failed-instance',
  'copy-allowed-until',
  'copy-to-be-removed',
] as const;
export type DeliveryDetail = (typeof deliveryDetails)[number];

/** Task.businessStatus.coding.code in `systems.businessStatus`. */
export const businessStatuses = [
  'draft',
  'requested',
  'received',
  'accepted',
  'scheduled',
  'in-progress',
  'completed',
  'declined',
  'cancellation-requested',
  'cancelled',
  'unattended',
  'returned',
] as const;
export type BusinessStatus = (typeof businessStatuses)[number];

/** Codes of `systems.affiliationKind`. */
export const affiliationKinds = ['sharing-agreement', 'consortium-membership'] as const;
export type AffiliationKind = (typeof affiliationKinds)[number];

/** Codes of `systems.actReason` under PurposeOfUse. */
export const purposesOfUse = ['TREAT', 'ETREAT', 'BTG', 'HRESCH', 'HOPERAT', 'PUBHLTH', 'PATRQT', 'HCOMPL'] as const;
export type PurposeOfUse = (typeof purposesOfUse)[number];

/** HL7 v2 table 0203. */
export const identifierTypes = {
  accessionNumber: 'ACSN',
  placerOrderNumber: 'PLAC',
  fillerOrderNumber: 'FILL',
  medicalRecordNumber: 'MR',
  nationalIdentifier: 'NI',
} as const;

/**
 * Identifiers of a person that are encrypted at rest: by their system (a region adds its own, setting `protectedSystems`), or by their type
 * (v2-0203): national, passport, social security, health card, jurisdictional health, Medicare, Medicaid, member, subscriber, permanent
 * resident, driver's licence and military numbers; also NNxxx, the national number of country xxx.
 */
export const protectedIdentifierSystems: readonly string[] = [
  systems.nationalIdentifier,
  systems.healthCard,
  systems.medicalInsurance,
  'http://hl7.org/fhir/sid/us-ssn',
  'http://hl7.org/fhir/sid/us-medicare',
];
export const protectedIdentifierTypes = /^(NI|NN[A-Z]{3}|PPN|SS|SB|HC|JHN|MC|MA|MB|SN|PRC|DL|MI)$/;

/** ContactPoint.system whose values are encrypted at rest: all but web addresses. */
export const protectedContactSystems = /^(phone|fax|email|pager|sms|other)$/;

/** Consent.scope and Consent.category. */
export const consentCodes = {
  scopePrivacy: 'patient-privacy',
  /** LOINC 59284-0 Consent Document, the category of IHE PCF. */
  categoryConsentDocument: '59284-0',
  /** consentcategorycodes: information disclosure. */
  categoryDisclosure: 'idscl',
} as const;

const RELATIONSHIP = 'http://terminology.hl7.org/CodeSystem/v3-RoleCode';

/** RelatedPerson.relationship of parents, `system|code` (HL7 v3 PersonalRelationshipRoleType); step-parents have no custody by themselves. */
export const parentRelationships = ['PRN', 'FTH', 'MTH', 'NPRN', 'NFTH', 'NMTH', 'ADOPTP', 'ADOPTF', 'ADOPTM'].map(
  (code) => `${RELATIONSHIP}|${code}`,
);

/** RelatedPerson.relationship of appointed guardians: HL7 v3 RoleClass, and the guardian ad litem of RoleCode. */
export const guardianRelationships = ['http://terminology.hl7.org/CodeSystem/v3-RoleClass|GUARD', `${RELATIONSHIP}|GUADLTM`];
