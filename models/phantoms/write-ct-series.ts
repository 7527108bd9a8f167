import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { transferSyntax } from '../../connectors/dicom/pixels/transfer-syntax.js';
import type { CharacterSet } from './character-set.js';
import { encodeFrame, type PhantomTransferSyntax } from './encode-frame.js';
import { type Element, writePart10 } from './part10-writer.js';
import type { PhantomVolume } from './volume.js';

export interface PhantomPatient {
  /** Patient ID (0010,0020). */
  id: string;
  /** Issuer of Patient ID (0010,0021). */
  issuer?: string;
  /** Patient's Name (0010,0010) in Unicode, with its component groups, e.g. `Wang^XiaoDong=王^小东`. */
  name: string;
  /** `YYYY-MM-DD`. */
  birthDate?: string;
  sex?: 'M' | 'F' | 'O';
}

export interface PhantomStudy {
  /** Study Instance UID; series and instance UIDs are made from it. At most 54 characters. */
  uid: string;
  /** Local date and time, `YYYY-MM-DDThh:mm[:ss]`. */
  started: string;
  accessionNumber?: string;
  description?: string;
  /** Institution Name (0008,0080). */
  institutionName?: string;
  referringPhysicianName?: string;
}

/** What every phantom needs to be told: where to write, whose it is, how it is coded. */
export interface PhantomRequest {
  folder: string;
  patient: PhantomPatient;
  study: PhantomStudy;
  /** Default UTF-8 (`ISO_IR 192`). */
  characterSet?: CharacterSet;
  /** Default Explicit VR Little Endian. */
  transferSyntax?: PhantomTransferSyntax;
  /** Whether axial planes are stored as seen from the head, with rows that run to the patient's right. Default false: from the feet. */
  seenFromHead?: boolean;
  /** The same seed and sizes give the same bytes. Default 1. */
  seed?: number;
}

export interface PhantomSeries {
  number: number;
  description: string;
  /** Body Part Examined (0018,0015). */
  bodyPart: string;
  /** Third value of Image Type (0008,0008). */
  imageType: 'AXIAL' | 'LOCALIZER';
  window: { centre: number; width: number };
  /** Contrast/Bolus Agent (0018,0010). */
  contrastAgent?: string | undefined;
  /** Convolution Kernel (0018,1210). */
  kernel?: string | undefined;
}

export interface PhantomFile {
  path: string;
  sopInstanceUid: string;
  seriesInstanceUid: string;
  instanceNumber: number;
}

/** A plane to write: stored on a Rescale Intercept of -1024 with 12 bits. */
interface Plane {
  hounsfield: Int16Array;
  columns: number;
  rows: number;
  /** Between rows, between columns: mm. */
  pixelSpacing: [number, number];
  sliceThickness: number;
  position: readonly number[];
  orientation: readonly number[];
}

const ctImageStorage = '1.2.840.10008.5.1.4.1.1.2';
const intercept = -1024;

/** Writes the planes of an axial volume, the highest first, as one CT series of Part 10 files. Returns them in that order. */
export async function writeCtSeries(
  request: PhantomRequest,
  series: PhantomSeries,
  volume: PhantomVolume,
): Promise<PhantomFile[]> {
  const { hounsfield, columns, rows, slices, origin, pixelSpacing, sliceSpacing, orientation = [1, 0, 0, 0, 1, 0] } = volume;
  const along = orientation.slice(0, 3);
  const fromHead = request.seenFromHead ?? false;
  const planes = Array.from({ length: slices }, (_, i): Plane => {
    const slice = slices - 1 - i;
    const position = volume.planes?.[slice]?.position ?? [origin[0], origin[1], origin[2] + slice * sliceSpacing];
    const values = hounsfield.subarray(slice * columns * rows, (slice + 1) * columns * rows);
    return {
      hounsfield: fromHead ? mirrored(values, columns) : values,
      columns,
      rows,
      pixelSpacing: [pixelSpacing, pixelSpacing],
      sliceThickness: volume.planes?.[slice]?.thickness ?? sliceSpacing,
      position: fromHead ? position.map((value, axis) => value + (columns - 1) * pixelSpacing * along[axis]!) : position,
      orientation: fromHead ? [...along.map((value) => -value), ...orientation.slice(3)] : orientation,
    };
  });
  return writePlanes(request, series, planes);
}

/** Every row backwards. */
const mirrored = (values: Int16Array, columns: number): Int16Array =>
  Int16Array.from(values, (_, i) => values[i - (i % columns) + columns - 1 - (i % columns)]!);

/** Writes a frontal projection of the volume as a localizer: one image in a series of its own. */
export async function writeLocalizer(
  request: PhantomRequest,
  series: PhantomSeries,
  volume: PhantomVolume,
): Promise<PhantomFile[]> {
  const { hounsfield, columns, rows, slices, origin, pixelSpacing, sliceSpacing } = volume;
  const projected = new Int16Array(columns * slices);
  for (let i = 0; i < projected.length; i++) {
    const start = (slices - 1 - Math.floor(i / columns)) * rows * columns + (i % columns);
    let sum = 0;
    for (let row = 0; row < rows; row++) sum += hounsfield[start + row * columns]!;
    projected[i] = sum / rows;
  }
  const plane: Plane = {
    hounsfield: projected,
    columns,
    rows: slices,
    pixelSpacing: [sliceSpacing, pixelSpacing],
    sliceThickness: rows * pixelSpacing,
    position: [origin[0], 0, origin[2] + (slices - 1) * sliceSpacing],
    orientation: [1, 0, 0, 0, 0, -1],
  };
  return writePlanes(request, series, [plane]);
}

async function writePlanes(request: PhantomRequest, series: PhantomSeries, planes: Plane[]): Promise<PhantomFile[]> {
  const folder = join(request.folder, `series-${series.number}`);
  await mkdir(folder, { recursive: true });
  const seriesInstanceUid = `${request.study.uid}.${series.number}`;
  const files: PhantomFile[] = [];
  for (const [index, plane] of planes.entries()) {
    const instanceNumber = index + 1;
    const file = {
      path: join(folder, `IM${String(instanceNumber).padStart(4, '0')}.dcm`),
      sopInstanceUid: `${seriesInstanceUid}.${instanceNumber}`,
      seriesInstanceUid,
      instanceNumber,
    };
    await writeFile(file.path, await encodePlane(request, series, plane, file));
    files.push(file);
  }
  return files;
}

async function encodePlane(request: PhantomRequest, series: PhantomSeries, plane: Plane, file: PhantomFile): Promise<Buffer> {
  const { transferSyntax: syntax = transferSyntax.explicitLittleEndian, characterSet = 'ISO_IR 192' } = request;
  const { hounsfield, columns, rows } = plane;
  const pixels = new Uint16Array(hounsfield.length);
  for (let i = 0; i < pixels.length; i++) pixels[i] = clampTo12Bits(hounsfield[i]! - intercept);
  const pixelData = await encodeFrame({ pixels, columns, rows, bitsStored: 12 }, syntax);
  const elements = [...studyElements(request, characterSet), ...seriesElements(request, series, file), ...planeElements(plane)];
  const vr = syntax === transferSyntax.implicitLittleEndian || pixelData instanceof Uint8Array ? 'OW' : 'OB';
  return writePart10([...elements, [0x7fe00010, vr, pixelData] as Element], { transferSyntaxUid: syntax, characterSet });
}

const clampTo12Bits = (value: number): number => (value < 0 ? 0 : value > 4095 ? 4095 : value);

/** Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1). */
export function studyElements({ patient, study }: PhantomRequest, characterSet: CharacterSet): Element[] {
  const [date, time] = dicomDateTime(study.started);
  return [
    [0x00080005, 'CS', characterSet],
    [0x00080020, 'DA', date],
    [0x00080021, 'DA', date],
    [0x00080022, 'DA', date],
    [0x00080023, 'DA', date],
    [0x00080030, 'TM', time],
    [0x00080031, 'TM', time],
    [0x00080032, 'TM', time],
    [0x00080033, 'TM', time],
    [0x00080050, 'SH', study.accessionNumber ?? ''],
    [0x00080080, 'LO', study.institutionName ?? ''],
    [0x00080090, 'PN', study.referringPhysicianName ?? ''],
    [0x00081030, 'LO', study.description ?? ''],
    [0x00100010, 'PN', patient.name],
    [0x00100020, 'LO', patient.id],
    ...(patient.issuer ? ([[0x00100021, 'LO', patient.issuer]] as Element[]) : []),
    [0x00100030, 'DA', patient.birthDate?.replaceAll('-', '') ?? ''],
    [0x00100040, 'CS', patient.sex ?? ''],
    [0x0020000d, 'UI', study.uid],
    [0x00200010, 'SH', study.accessionNumber ?? ''],
  ];
}

function dicomDateTime(started: string): [date: string, time: string] {
  const [date = '', time = ''] = started.split('T');
  return [
    date.replaceAll('-', ''),
    time
      .replace(/[Z+].*$/, '')
      .replaceAll(':', '')
      .padEnd(6, '0'),
  ];
}

/** General Series, General Equipment and SOP Common modules (PS3.3 C.7.3.1, C.7.5.1, C.12.1). */
function seriesElements({ study }: PhantomRequest, series: PhantomSeries, file: PhantomFile): Element[] {
  return [
    [0x00080008, 'CS', `ORIGINAL\\PRIMARY\\${series.imageType}`],
    [0x00080016, 'UI', ctImageStorage],
    [0x00080018, 'UI', file.sopInstanceUid],
    [0x00080060, 'CS', 'CT'],
    [0x00080070, 'LO', 'Phantom'],
    [0x0008103e, 'LO', series.description],
    [0x00081090, 'LO', 'Computed phantom'],
    ...(series.contrastAgent ? ([[0x00180010, 'LO', series.contrastAgent]] as Element[]) : []),
    [0x00180015, 'CS', series.bodyPart],
    [0x00180060, 'DS', '120'],
    ...(series.kernel ? ([[0x00181210, 'SH', series.kernel]] as Element[]) : []),
    [0x00185100, 'CS', 'HFS'],
    [0x0020000e, 'UI', file.seriesInstanceUid],
    [0x00200011, 'IS', String(series.number)],
    [0x00200013, 'IS', String(file.instanceNumber)],
    [0x00200052, 'UI', `${study.uid}.0`],
    [0x00201040, 'LO', ''],
    [0x00281050, 'DS', String(series.window.centre)],
    [0x00281051, 'DS', String(series.window.width)],
  ];
}

/** Image Plane, Image Pixel and CT Image modules (PS3.3 C.7.6.2, C.7.6.3, C.8.2.1). */
function planeElements(plane: Plane): Element[] {
  return [
    [0x00180050, 'DS', decimal(plane.sliceThickness)],
    [0x00200032, 'DS', plane.position.map(decimal).join('\\')],
    [0x00200037, 'DS', plane.orientation.map(decimal).join('\\')],
    [0x00201041, 'DS', decimal(plane.position[2]!)],
    [0x00280002, 'US', 1],
    [0x00280004, 'CS', 'MONOCHROME2'],
    [0x00280010, 'US', plane.rows],
    [0x00280011, 'US', plane.columns],
    [0x00280030, 'DS', plane.pixelSpacing.map(decimal).join('\\')],
    [0x00280100, 'US', 16],
    [0x00280101, 'US', 12],
    [0x00280102, 'US', 11],
    [0x00280103, 'US', 0],
    [0x00281052, 'DS', String(intercept)],
    [0x00281053, 'DS', '1'],
    [0x00281054, 'LO', 'HU'],
  ];
}

/** Decimal string of at most 16 characters (PS3.5 section 6.2). */
const decimal = (value: number): string => String(Number(value.toFixed(6)));
