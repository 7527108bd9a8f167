import { text } from '../../connectors/dicom/describe.js';
import { firstItem } from '../../connectors/dicom/pixels/attributes.js';
import { isGrey } from '../../connectors/dicom/pixels/colour.js';
import type { PictureFile } from '../dicom/read-picture.js';
import type { Manifest } from '../manifest.js';

/** SOP classes of photographs (PS3.4 B.5): Ophthalmic Photography 8 and 16 bit, VL Photographic, Secondary Capture and its true colour form. */
const photographs = new Set([
  '1.2.840.10008.5.1.4.1.1.77.1.5.1',
  '1.2.840.10008.5.1.4.1.1.77.1.5.2',
  '1.2.840.10008.5.1.4.1.1.77.1.4',
  '1.2.840.10008.5.1.4.1.1.7',
  '1.2.840.10008.5.1.4.1.1.7.4',
]);
/** OCT, wide field, and maps made of OCT. */
const otherEyeImages = /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.(77\.1\.5\.[3-8]|81\.1|82\.1)$/;
/** Image Type values of what is no photograph in natural colour, or of more than one field (PS3.3 C.8.17.2.1.1). */
const notInColour = new Set(['REDFREE', 'RED', 'BLUE', 'GREEN', 'FA', 'ICG', 'FAF']);
/** Fundus Camera of Acquisition Device Type (PS3.16 CID 4202), in SNOMED CT and in its old form. */
const fundusCamera = new Set(['409898007', 'R-1021A']);

/** Why an image is none that the model is made for, as far as its header tells; undefined where it may be one. */
export function reasonAgainst({ header, image }: PictureFile, { accepts }: Manifest): string | undefined {
  if (!accepts.modality.includes(text(header, '00080060') ?? '')) return 'The study holds no ophthalmic photographs.';
  const sopClass = text(header, '00080016') ?? '';
  if (otherEyeImages.test(sopClass))
    return 'Tomography, maps and wide-field images of the eye are not what the model is made for.';
  if (!photographs.has(sopClass)) return 'The study holds no photographs of the fundus.';
  const bodyPart = text(header, '00180015')?.toUpperCase();
  if (bodyPart && !accepts.bodyPartExamined.includes(bodyPart)) return 'The photographs are of another part of the body.';
  const imageType = ((header['00080008']?.Value ?? []) as unknown[]).map((value) => String(value).trim().toUpperCase());
  if (imageType.includes('MONTAGE')) return 'A montage of several fields is not what the model is made for.';
  if (
    imageType.some((value) => notInColour.has(value)) ||
    firstItem(header, '00180012') ||
    isGrey(image.photometricInterpretation)
  )
    return 'Angiography, autofluorescence and other images that are not in natural colour are not what the model is made for.';
  const device = text(firstItem(header, '00220015') ?? {}, '00080100');
  if (device && !fundusCamera.has(device)) return 'The photograph was not taken with a fundus camera.';
  if (!accepts.transferSyntaxes.includes(image.transferSyntaxUid))
    return 'The model does not accept the transfer syntax of the photograph.';
  return undefined;
}
