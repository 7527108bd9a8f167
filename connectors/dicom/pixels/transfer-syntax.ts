/** Transfer syntaxes by UID (PS3.6 Annex A) whose pixels are decoded. */
export const transferSyntax = {
  implicitLittleEndian: '1.2.840.10008.1.2',
  explicitLittleEndian: '1.2.840.10008.1.2.1',
  encapsulatedUncompressed: '1.2.840.10008.1.2.1.98',
  deflatedExplicitLittleEndian: '1.2.840.10008.1.2.1.99',
  explicitBigEndian: '1.2.840.10008.1.2.2',
  jpegBaseline: '1.2.840.10008.1.2.4.50',
  jpegExtended: '1.2.840.10008.1.2.4.51',
  jpegSpectralSelection: '1.2.840.10008.1.2.4.53',
  jpegFullProgression: '1.2.840.10008.1.2.4.55',
  jpegLossless: '1.2.840.10008.1.2.4.57',
  jpegLosslessFirstOrder: '1.2.840.10008.1.2.4.70',
  jpegLsLossless: '1.2.840.10008.1.2.4.80',
  jpegLsNearLossless: '1.2.840.10008.1.2.4.81',
  jpeg2000Lossless: '1.2.840.10008.1.2.4.90',
  jpeg2000: '1.2.840.10008.1.2.4.91',
  htj2kLossless: '1.2.840.10008.1.2.4.201',
  htj2kLosslessRpcl: '1.2.840.10008.1.2.4.202',
  htj2k: '1.2.840.10008.1.2.4.203',
  rleLossless: '1.2.840.10008.1.2.5',
} as const;

export type TransferSyntaxUid = (typeof transferSyntax)[keyof typeof transferSyntax];

/** Whose frames are not what the modality made; of those that can be either, those that are not lossless by their name. */
export const lossyTransferSyntaxes: ReadonlySet<string> = new Set([
  transferSyntax.jpegBaseline,
  transferSyntax.jpegExtended,
  transferSyntax.jpegSpectralSelection,
  transferSyntax.jpegFullProgression,
  transferSyntax.jpegLsNearLossless,
  transferSyntax.jpeg2000,
  transferSyntax.htj2k,
]);
