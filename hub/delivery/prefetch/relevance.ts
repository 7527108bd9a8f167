import { regionsOf } from '../../../fhir-profiles/body-regions.js';
import type { Planned } from './planned.js';

/** A prior study, as far as it is opened. */
export interface Prior {
  modality: readonly string[];
  bodySite: readonly string[];
}

/** Modalities whose images are read beside each other. */
const KINDS: readonly (readonly string[])[] = [
  ['CT', 'MR', 'PT', 'NM'],
  ['CR', 'DX', 'RF', 'XA'],
  ['MG'],
  ['US', 'IVUS'],
  ['OP', 'OPT', 'OPV'],
  ['ES', 'GM', 'SM', 'XC'],
  ['ECG', 'HD', 'EPS'],
];

/**
 * Whether a prior study is one to compare with: of the same region of the body. Where one of the two does not say its region, of the same kind of
 * modality; and where what is planned says neither, any.
 */
export function isRelevant(planned: Pick<Planned, 'modality' | 'bodySite'>, prior: Prior): boolean {
  const [wanted, has] = [planned.bodySite.flatMap(regionsOf), prior.bodySite.flatMap(regionsOf)];
  if (wanted.length > 0 && has.length > 0) return wanted.some((region) => has.includes(region));
  if (planned.modality.length === 0) return true;
  return planned.modality.some((code) => prior.modality.some((other) => kindOf(code) === kindOf(other)));
}

/** A modality that is in no group is compared with its own only. */
const kindOf = (modality: string): string => KINDS.find((kind) => kind.includes(modality))?.[0] ?? modality;
