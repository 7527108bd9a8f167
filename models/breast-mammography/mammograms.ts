import { text } from '../../connectors/dicom/describe.js';
import { firstItem, numbersOf } from '../../connectors/dicom/pixels/attributes.js';
import { isGrey } from '../../connectors/dicom/pixels/colour.js';
import type { DicomJson } from '../../connectors/dicom/values.js';
import type { PictureFile } from '../dicom/read-picture.js';
import type { Manifest } from '../manifest.js';

/** SOP classes (PS3.4 B.5). */
const sopClass = {
  computedRadiography: '1.2.840.10008.5.1.4.1.1.1',
  digitalForPresentation: '1.2.840.10008.5.1.4.1.1.1.1',
  digitalForProcessing: '1.2.840.10008.5.1.4.1.1.1.1.1',
  mammographyForPresentation: '1.2.840.10008.5.1.4.1.1.1.2',
  mammographyForProcessing: '1.2.840.10008.5.1.4.1.1.1.2.1',
} as const;
const forProcessing: string[] = [sopClass.digitalForProcessing, sopClass.mammographyForProcessing];
const projections: string[] = [
  sopClass.computedRadiography,
  sopClass.digitalForPresentation,
  sopClass.mammographyForPresentation,
];
/** Breast Tomosynthesis, and the projections it is made of. */
const tomosynthesis = /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.13\.1\.[345]$/;
/** Medio-lateral oblique (PS3.16 CID 4014), in SNOMED CT and in its old form. */
const obliqueView = new Set(['399368009', 'R-10226']);
/** Breast, in SNOMED CT and in its old form. */
const breast = new Set(['76752008', 'T-04000']);
/** Image Type values of pictures that are computed from others: from tomosynthesis, or with and without contrast medium. */
const computed = /TOMO|GENERATED|RECOMBINED|SUBTRACTION|LOW_ENERGY|HIGH_ENERGY|STEREO/;

/** Why an image is none that the model is made for, as far as its header tells; undefined where it may be one. */
export function reasonAgainst(picture: PictureFile, { accepts, parameters }: Manifest): string | undefined {
  const { header, image } = picture;
  const modality = text(header, '00080060') ?? '';
  if (!accepts.modality.includes(modality) || (modality !== 'MG' && !showsBreast(header)))
    return 'The study holds no mammograms.';
  const kind = text(header, '00080016') ?? '';
  if (tomosynthesis.test(kind) || image.frames > 1) return 'Tomosynthesis is not what the model is made for.';
  if (forProcessing.includes(kind) || text(header, '00080068')?.toUpperCase() === 'FOR PROCESSING')
    return 'The mammograms are raw (for processing), the model is made for those that are looked at.';
  if (!projections.includes(kind) || !isGrey(image.photometricInterpretation)) return 'The study holds no mammograms.';
  if (values(header, '00080008').some((value) => computed.test(value)))
    return 'Mammograms that are computed from others, or with contrast medium, are not what the model is made for.';
  if (isYes(header, '00280300')) return 'The image is of a phantom, for quality control.';
  if (isYes(header, '00281300')) return 'The model is not made for breasts with implants.';
  if (!accepts.transferSyntaxes.includes(image.transferSyntaxUid))
    return 'The model does not accept the transfer syntax of the mammogram.';
  return reasonAgainstView(header, parameters.mostMagnification!);
}

/** Views that were not trained on are not scored: another projection, a spot, a magnification, a part. */
function reasonAgainstView(header: DicomJson, mostMagnification: number): string | undefined {
  const view = firstItem(header, '00540220');
  const code = view && text(view, '00080100');
  const position = text(header, '00185101')?.toUpperCase();
  if (code ? !obliqueView.has(code) : position !== 'MLO')
    return 'The study holds no mammograms in the medio-lateral oblique view.';
  const isSpecial =
    (view && firstItem(view, '00540222')) ||
    isYes(header, '00281350') ||
    /SPOT|MAG/.test(values(header, '001811A4').join(' ')) ||
    (numbersOf(header, '00181114')?.[0] ?? 1) > mostMagnification;
  return isSpecial ? 'Spot, magnified, partial and otherwise modified views are not what the model is made for.' : undefined;
}

function showsBreast(header: DicomJson): boolean {
  const region = firstItem(header, '00082218');
  return text(header, '00180015')?.toUpperCase() === 'BREAST' || breast.has(text(region ?? {}, '00080100') ?? '');
}

const isYes = (header: DicomJson, tag: string): boolean => text(header, tag)?.toUpperCase() === 'YES';

const values = (header: DicomJson, tag: string): string[] =>
  ((header[tag]?.Value ?? []) as unknown[]).map((value) => String(value).trim().toUpperCase());
