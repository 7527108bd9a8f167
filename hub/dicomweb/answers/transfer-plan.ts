import { readableTransferSyntaxes } from '../../../connectors/dicom/pixels/decode-frame.js';
import { lossyTransferSyntaxes } from '../../../connectors/dicom/pixels/transfer-syntax.js';
import { transferSyntaxes } from '../../../connectors/dicom/part10.js';
import type { MediaRange } from '../accept.js';

/** Which objects go as they are stored, and whether others may be written anew in Explicit VR Little Endian. */
export interface TransferPlan {
  /** Whether an object of this transfer syntax, or one that states none, is sent as it is. */
  keeps(transferSyntaxUid: string | undefined): boolean;
  transcodes: boolean;
}

/** Not for web services (PS3.18 section 8.7.3). */
const unfit: ReadonlySet<string> = new Set([transferSyntaxes.implicitLittleEndian, transferSyntaxes.explicitBigEndian]);
const lossless: ReadonlySet<string> = new Set(readableTransferSyntaxes.filter((uid) => !lossyTransferSyntaxes.has(uid)));

/**
 * By the `transfer-syntax` parameters of the ranges that the answer meets (PS3.18 section 8.7.3): `*` takes objects as they are stored; without a
 * parameter Explicit VR Little Endian is due, save for objects of which only lossy pixels exist or that nothing here decodes.
 */
export function transferPlan(ranges: readonly MediaRange[]): TransferPlan {
  const named = new Set(ranges.map(({ transferSyntax }) => transferSyntax));
  if (named.has('*')) return { keeps: (uid) => !unfit.has(uid ?? ''), transcodes: true };
  const isDefault = named.has(undefined);
  const { explicitLittleEndian } = transferSyntaxes;
  return {
    keeps: (uid) => uid !== undefined && (named.has(uid) || (isDefault && (uid === explicitLittleEndian || !lossless.has(uid)))),
    transcodes: isDefault || named.has(explicitLittleEndian),
  };
}
