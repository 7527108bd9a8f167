import { extensions, systems } from '../../fhir-profiles/codes.js';
import type { FhirResource } from '../store/search-keys.js';
import { agreement, type DemoOrganization, memberships, organizations, people } from './region.js';

/** The registry of the demonstration region as one FHIR transaction: organizations, consortia, the agreement, and the people who work there. */
export function registryBundle(): FhirResource {
  const resources = [
    ...organizations.map(organization),
    ...memberships.map(membership),
    sharingAgreement(),
    ...people
      .filter((p) => p.organizationId)
      .flatMap(({ username, name, roles, organizationId }) => [
        { resourceType: 'Practitioner', id: practitionerId(username), active: true, name: [{ text: name }] },
        {
          resourceType: 'PractitionerRole',
          id: `${practitionerId(username)}.role`,
          active: true,
          practitioner: { reference: `Practitioner/${practitionerId(username)}` },
          organization: { reference: `Organization/${organizationId}` },
          code: roles.map((code) => ({ coding: [{ system: systems.role, code }] })),
        },
      ]),
  ];
  const entry = resources.map((resource) => ({
    resource,
    request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` },
  }));
  return { resourceType: 'Bundle', type: 'transaction', entry };
}

/** Practitioner id of a person of the demonstration. */
export const practitionerId = (username: string): string => username;

export const membershipId = (consortium: string, member: string): string => `${consortium}.${member}`;

function organization({ id, kind, name, assigner }: DemoOrganization): FhirResource & { id: string } {
  const extension = [
    ...(assigner ? [{ url: extensions.patientAssigner, valueUri: assigner }] : []),
    ...(kind === 'consortium' ? [{ url: extensions.sharingScope, extension: ['TREAT', 'ETREAT'].map(purpose) }] : []),
  ];
  return {
    resourceType: 'Organization',
    id,
    active: true,
    name,
    type: [{ coding: [{ system: systems.organizationKind, code: kind }] }],
    ...(extension.length > 0 ? { extension } : {}),
  };
}

const purpose = (code: string) => ({ url: 'purpose', valueCoding: { system: systems.actReason, code } });

function membership({ consortium, member }: { consortium: string; member: string }): FhirResource & { id: string } {
  return {
    resourceType: 'OrganizationAffiliation',
    id: membershipId(consortium, member),
    active: true,
    organization: { reference: `Organization/${consortium}` },
    participatingOrganization: { reference: `Organization/${member}` },
    code: [{ coding: [{ system: systems.affiliationKind, code: 'consortium-membership' }] }],
  };
}

function sharingAgreement(): FhirResource & { id: string } {
  return {
    resourceType: 'OrganizationAffiliation',
    id: agreement.id,
    active: true,
    period: { start: '2026-01-01', end: '2027-12-31' },
    organization: { reference: `Organization/${agreement.custodian}` },
    participatingOrganization: { reference: `Organization/${agreement.recipient}` },
    code: [{ coding: [{ system: systems.affiliationKind, code: 'sharing-agreement' }] }],
    extension: [
      {
        url: extensions.sharingScope,
        extension: [
          { url: 'modality', valueCoding: { system: systems.dicomTerminology, code: agreement.modality } },
          { url: 'notOlderThan', valueDuration: { value: agreement.years, unit: 'a', system: systems.ucum, code: 'a' } },
          purpose('TREAT'),
        ],
      },
    ],
  };
}
