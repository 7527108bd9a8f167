import { bodyPartOfCode } from './body-parts.js';

/**
 * Regions of the body (DICOM PS3.16 CID 4031, grouped): what was examined before in the same region is what a reader compares with. A part that spans
 * regions is in each of them.
 */
const regions: Readonly<Record<string, readonly string[]>> = {
  head: ['HEAD', 'BRAIN', 'SKULL', 'EYE', 'HEADNECK', 'WHOLEBODY'],
  neck: ['NECK', 'HEADNECK', 'NECKCHEST', 'CSPINE', 'WHOLEBODY'],
  chest: [
    ...['CHEST', 'LUNG', 'HEART', 'MEDIASTINUM', 'RIB', 'STERNUM', 'CLAVICLE', 'SCAPULA'],
    ...['NECKCHEST', 'CHESTABDOMEN', 'CHESTABDPELVIS', 'TSPINE', 'WHOLEBODY'],
  ],
  breast: ['BREAST', 'WHOLEBODY'],
  abdomen: [
    ...[
      'ABDOMEN',
      'ABDOMENPELVIS',
      'CHESTABDOMEN',
      'CHESTABDPELVIS',
      'LIVER',
      'GALLBLADDER',
      'PANCREAS',
      'KIDNEY',
      'STOMACH',
      'COLON',
    ],
    ...['LSPINE', 'WHOLEBODY'],
  ],
  pelvis: ['PELVIS', 'ABDOMENPELVIS', 'CHESTABDPELVIS', 'BLADDER', 'PROSTATE', 'HIP', 'SSPINE', 'WHOLEBODY'],
  spine: ['SPINE', 'CSPINE', 'TSPINE', 'LSPINE', 'SSPINE', 'WHOLEBODY'],
  arm: [
    'ARM',
    'HUMERUS',
    'SHOULDER',
    'CLAVICLE',
    'SCAPULA',
    'ELBOW',
    'FOREARM',
    'WRIST',
    'HAND',
    'FINGER',
    'EXTREMITY',
    'WHOLEBODY',
  ],
  leg: ['LEG', 'HIP', 'THIGH', 'FEMUR', 'KNEE', 'PATELLA', 'ANKLE', 'FOOT', 'EXTREMITY', 'WHOLEBODY'],
};

/** The regions of a SNOMED CT body site; none for one that the table of body parts lacks. */
export function regionsOf(code: string): string[] {
  const term = bodyPartOfCode(code)?.term;
  return Object.keys(regions).filter((region) => term !== undefined && regions[region]?.includes(term));
}
