import type { PatientDescription } from '../../connectors/connector.js';
import type { ResourceRow } from '../store/resources.js';
import { type HumanName, humanNames, isAbsent, type NameForms, nameForms, nameKeys, namesCompatible } from './person-name.js';

/** What two records must agree on to be one person's. What a record does not say is absent, never a difference. */
export interface Demographics {
  names: NameForms;
  /** FHIR date, possibly of a year or month only. */
  birthDate?: string;
  /** FHIR administrative gender; `unknown` counts as absent. */
  sex?: string;
}

export function demographicsOf(patient: {
  name?: HumanName[];
  birthDate?: string;
  gender?: string;
  [element: string]: unknown;
}): Demographics {
  return {
    names: nameForms(patient.name),
    ...(patient.birthDate ? { birthDate: patient.birthDate } : {}),
    ...(patient.gender && patient.gender !== 'unknown' ? { sex: patient.gender } : {}),
  };
}

export const demographicsOfRow = (row: ResourceRow): Demographics => demographicsOf(JSON.parse(row.content));

export const demographicsOfDescription = ({ name, birthDate, sex }: PatientDescription): Demographics =>
  demographicsOf({ name: humanNames(name ?? ''), birthDate, gender: sex });

/** What two records of one person do not differ in. */
export type Trait = 'name' | 'birth date' | 'sex';

/** What keeps two records from being one person's; undefined when nothing does. */
export const contradiction = (a: Demographics, b: Demographics): Trait | undefined => contradictions(a, b)[0];

/** Everything that two records differ in. */
export function contradictions(a: Demographics, b: Demographics): Trait[] {
  const differ: Record<Trait, boolean> = {
    name: !namesCompatible(a.names, b.names),
    'birth date': Boolean(
      a.birthDate && b.birthDate && !a.birthDate.startsWith(b.birthDate) && !b.birthDate.startsWith(a.birthDate),
    ),
    sex: Boolean(a.sex && b.sex && a.sex !== b.sex),
  };
  return (Object.keys(differ) as Trait[]).filter((trait) => differ[trait]);
}

const FULL_DATE = /^\d{4}-\d\d-\d\d$/;

/** Keys that records of equal name, sex and birth date share; none for a record that lacks one of the three. */
export function demographicKeys({ names, birthDate, sex }: Demographics): string[] {
  if (!birthDate || !FULL_DATE.test(birthDate) || !sex || isAbsent(names)) return [];
  return nameKeys(names)
    .slice(0, 10)
    .map((name) => `${birthDate} ${sex} ${name}`);
}
