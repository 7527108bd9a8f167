/**
 * Body Part Examined (0018,0015) defined terms and their SNOMED CT codes: DICOM PS3.16 Annex L and CID 4031 "Common Anatomic
 * Region" (with CID 4030 for organs). Terms that the table lacks have no code here; nothing is guessed.
 */
import { systems } from './codes.js';

export interface BodyPart {
  /** Defined term of Body Part Examined. */
  term: string;
  /** SNOMED CT code. */
  code: string;
  display: string;
  /** SNOMED CT codes that earlier editions of the table gave for the same term. */
  retired?: string[];
}

const table: [term: string, code: string, display: string, retired?: string[]][] = [
  ['ABDOMEN', '818981001', 'Abdomen', ['113345001']],
  ['ABDOMENPELVIS', '818982008', 'Abdomen and Pelvis'],
  ['ANKLE', '70258002', 'Ankle joint'],
  ['ARM', '40983000', 'Upper arm'],
  ['BLADDER', '89837001', 'Bladder'],
  ['BRAIN', '12738006', 'Brain'],
  ['BREAST', '76752008', 'Breast'],
  ['CHEST', '816094009', 'Chest', ['51185008']],
  ['CHESTABDOMEN', '416550000', 'Chest and Abdomen'],
  ['CHESTABDPELVIS', '416775004', 'Chest, Abdomen and Pelvis'],
  ['CLAVICLE', '51299004', 'Clavicle'],
  ['COLON', '71854001', 'Colon'],
  ['CSPINE', '122494005', 'Cervical spine'],
  ['ELBOW', '16953009', 'Elbow joint'],
  ['EXTREMITY', '66019005', 'Extremity'],
  ['EYE', '81745001', 'Eye'],
  ['FEMUR', '71341001', 'Femur'],
  ['FINGER', '7569003', 'Finger'],
  ['FOOT', '56459004', 'Foot'],
  ['FOREARM', '14975008', 'Forearm'],
  ['GALLBLADDER', '28231008', 'Gallbladder'],
  ['HAND', '85562004', 'Hand'],
  ['HEAD', '69536005', 'Head'],
  ['HEADNECK', '774007', 'Head and Neck'],
  ['HEART', '80891009', 'Heart'],
  ['HIP', '24136001', 'Hip joint'],
  ['HUMERUS', '85050009', 'Humerus'],
  ['KIDNEY', '64033007', 'Kidney'],
  ['KNEE', '72696002', 'Knee'],
  ['LEG', '30021000', 'Lower leg'],
  ['LIVER', '10200004', 'Liver'],
  ['LSPINE', '122496007', 'Lumbar spine'],
  ['LUNG', '39607008', 'Lung'],
  ['MEDIASTINUM', '72410000', 'Mediastinum'],
  ['NECK', '45048000', 'Neck'],
  ['NECKCHEST', '417437006', 'Neck and Chest'],
  ['PANCREAS', '15776009', 'Pancreas'],
  ['PATELLA', '64234005', 'Patella'],
  ['PELVIS', '816092008', 'Pelvis', ['12921003']],
  ['PROSTATE', '41216001', 'Prostate'],
  ['RIB', '113197003', 'Rib'],
  ['SCAPULA', '79601000', 'Scapula'],
  ['SHOULDER', '16982005', 'Shoulder'],
  ['SKULL', '89546000', 'Skull'],
  ['SPINE', '421060004', 'Spine'],
  ['SSPINE', '54735007', 'Sacrum'],
  ['STERNUM', '56873002', 'Sternum'],
  ['STOMACH', '69695003', 'Stomach'],
  ['THIGH', '68367000', 'Thigh'],
  ['TSPINE', '122495006', 'Thoracic spine'],
  ['WHOLEBODY', '38266002', 'Entire body'],
  ['WRIST', '74670003', 'Wrist joint'],
];

export const bodyParts: readonly BodyPart[] = table.map(([term, code, display, retired]) => ({ term, code, display, retired }));
const byTerm = new Map(bodyParts.map((part) => [part.term, part]));
const byCode = new Map(bodyParts.flatMap((part) => [part.code, ...(part.retired ?? [])].map((code) => [code, part])));

/** FHIR Coding of a Body Part Examined value as sent; undefined when the table has no such term. Blanks and case don't count. */
export function bodySiteCoding(bodyPartExamined: string): { system: string; code: string; display: string } | undefined {
  const part = byTerm.get(bodyPartExamined.toUpperCase().replace(/[\s_-]/g, ''));
  return part && { system: systems.snomed, code: part.code, display: part.display };
}

/** The body part of a SNOMED CT code, also of one from an earlier edition of the table. */
export function bodyPartOfCode(code: string): BodyPart | undefined {
  return byCode.get(code);
}
