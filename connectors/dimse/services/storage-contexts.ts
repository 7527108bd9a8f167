import { transferSyntaxes } from '../../dicom/part10.js';
import { isUid } from '../../dicom/uid.js';
import type { Proposal } from '../association/request-association.js';
import { maxContexts } from '../association/request-association.js';

/** Transfer syntaxes in the order of how often archives hold them (PS3.5 annex A). */
const syntaxes = [
  transferSyntaxes.explicitLittleEndian,
  transferSyntaxes.implicitLittleEndian,
  '1.2.840.10008.1.2.4.70', // JPEG Lossless, SV1
  '1.2.840.10008.1.2.4.90', // JPEG 2000 Lossless
  '1.2.840.10008.1.2.4.50', // JPEG Baseline
  '1.2.840.10008.1.2.4.80', // JPEG-LS Lossless
  '1.2.840.10008.1.2.5', // RLE
  '1.2.840.10008.1.2.4.91', // JPEG 2000
  '1.2.840.10008.1.2.4.57', // JPEG Lossless
  '1.2.840.10008.1.2.4.51', // JPEG Extended
  '1.2.840.10008.1.2.4.81', // JPEG-LS Near-lossless
  transferSyntaxes.deflatedLittleEndian,
  transferSyntaxes.explicitBigEndian,
  '1.2.840.10008.1.2.4.201', // HTJ2K Lossless
  '1.2.840.10008.1.2.4.202', // HTJ2K Lossless RPCL
  '1.2.840.10008.1.2.4.203', // HTJ2K
  '1.2.840.10008.1.2.4.102', // MPEG-4 AVC/H.264 High
  '1.2.840.10008.1.2.4.103',
  '1.2.840.10008.1.2.4.100', // MPEG2 Main
  '1.2.840.10008.1.2.4.101',
  '1.2.840.10008.1.2.4.104',
  '1.2.840.10008.1.2.4.105',
  '1.2.840.10008.1.2.4.106',
  '1.2.840.10008.1.2.4.107', // HEVC/H.265
  '1.2.840.10008.1.2.4.108',
  '1.2.840.10008.1.2.4.92', // JPEG 2000 Part 2
  '1.2.840.10008.1.2.4.93',
  '1.2.840.10008.1.2.4.53', // retired, JPEG Spectral Selection
  '1.2.840.10008.1.2.4.55', // retired, JPEG Full Progression
  '1.2.840.10008.1.2.4.110', // JPEG XL
  '1.2.840.10008.1.2.4.111',
  '1.2.840.10008.1.2.4.112',
];

const storageRoot = '1.2.840.10008.5.1.4.1.1.';
/** Storage SOP Classes below that root (PS3.4 table B.5-1), retired ones that archives still hold included. */
const storageClasses = [
  '1 1.1 1.1.1 1.2 1.2.1 1.3 1.3.1 2 2.1 2.2 3 3.1 4 4.1 4.2 4.3 4.4 6 6.1 6.2 6.3 7 7.1 7.2 7.3 7.4 9.1.1 9.1.2 9.1.3 9.2.1 9.3.1 9.4.1 9.4.2 9.5.1',
  '9.6.1 9.6.2 9.7.1 9.7.2 9.8.1 11 11.1 11.2 11.3 11.4 11.5 11.6 11.7 11.8 11.9 11.10 11.11 11.12 12.1 12.1.1 12.2 12.2.1 13.1.1 13.1.2',
  '13.1.3 13.1.4 13.1.5 14.1 14.2 20 30 40 66 66.1 66.2 66.3 66.4 66.5 66.6 67 68.1 68.2 77.1.1.1 77.1.2.1 77.1.3 77.1.4 77.1.4.1 77.1.5.1',
  '77.1.5.2 77.1.5.4 77.1.5.5 77.1.5.6 77.1.5.7 77.1.5.8 77.1.6 78.1 78.2 79.1 80.1 81.1 88.11 88.22 88.33 88.34 88.35 88.40 88.50 88.59 88.65 88.67 88.68',
  '88.69 88.70 88.71 88.74 88.75 88.76 90.1 104.1 104.2 104.3 128 128.1 130 481.1 481.2 481.3 481.4 481.5 481.8 481.9 601.1 601.2',
]
  .join(' ')
  .split(' ')
  .map((suffix) => storageRoot + suffix);

/** SOP classes of one association that leave each of them the transfer syntaxes that archives hold. */
export const mostClasses = 12;

/** Whether a SOP class is one of objects, also a private one: it is no service of PS3.4. */
export const isStorageClass = (uid: string): boolean =>
  isUid(uid) && (uid.startsWith(storageRoot) || elsewhere.has(uid) || !uid.startsWith('1.2.840.10008.'));

/** RT Beams and RT Brachy Application Delivery Instruction Storage. */
const elsewhere = new Set(['1.2.840.10008.5.1.4.34.7', '1.2.840.10008.5.1.4.34.10']);

/**
 * What has to be proposed so that objects come as the archive holds them, with the hub as SCP: a context for each SOP class and transfer syntax. An archive that
 * finds its objects' context by the SOP class alone, as dcmtk does, needs one syntax after the other; so does one that does not tell what it holds, for there are
 * more classes than contexts.
 * @param contexts others of the same association.
 */
export function storageProposals(contexts: Proposal['contexts'], sopClasses: readonly string[]): Proposal[] {
  const [explicit = '', implicit = '', ...compressed] = syntaxes;
  const classes = sopClasses.length > 0 ? sopClasses : storageClasses.slice(0, maxContexts - contexts.length);
  const each = Math.max(1, Math.floor((maxContexts - contexts.length) / classes.length));
  const pairs = syntaxes.slice(0, each).map((syntax) => [syntax]);
  const apart = [[explicit, implicit], ...compressed.map((syntax) => [syntax])];
  const roles = classes.map((sopClassUid) => ({ sopClassUid, scu: false, scp: true }));
  const proposal = (choices: readonly string[][]): Proposal => ({
    contexts: [
      ...contexts,
      ...classes.flatMap((abstractSyntax) => choices.map((transferSyntaxes) => ({ abstractSyntax, transferSyntaxes }))),
    ],
    roles,
  });
  return [...(each > 1 ? [proposal(pairs)] : []), ...apart.map((choice) => proposal([choice]))];
}
