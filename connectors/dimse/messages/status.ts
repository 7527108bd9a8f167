/** Status (0000,0900) of a response (PS3.7 annex C, PS3.4 annexes B and C). */
export const statuses = {
  success: 0x0000,
  cancelled: 0xfe00,
  processingFailure: 0x0110,
  duplicateSopInstance: 0x0111,
  sopClassNotSupported: 0x0122,
  unrecognizedOperation: 0x0211,
  outOfResources: 0xa700,
  noSubOperations: 0xa702,
  dataSetDoesNotMatch: 0xa900,
  cannotUnderstand: 0xc000,
  heldWithWarning: 0xb007,
} as const;

/** FF00H and FF01H: more answers follow. */
export const isPending = (status: number): boolean => status === 0xff00 || status === 0xff01;

/** Warnings (PS3.7 C.2): what was asked is done. */
export const isWarning = (status: number): boolean =>
  (status & 0xf000) === 0xb000 || status === 0x0001 || status === 0x0107 || status === 0x0116;

/** `0xA700 (out of resources)`. What the peer says in words is left out: it may hold patient data. */
export function statusText(status: number): string {
  const hex = `0x${status.toString(16).toUpperCase().padStart(4, '0')}`;
  const meaning = meanings.find(([low, high]) => status >= low && status <= high)?.[2];
  return meaning ? `${hex} (${meaning})` : hex;
}

const meanings: readonly (readonly [low: number, high: number, meaning: string])[] = [
  [0x0000, 0x0000, 'success'],
  [0x0110, 0x0110, 'processing failure'],
  [0x0111, 0x0111, 'duplicate SOP instance'],
  [0x0117, 0x0117, 'invalid SOP instance'],
  [0x0122, 0x0122, 'SOP class not supported'],
  [0x0124, 0x0124, 'not authorized'],
  [0x0211, 0x0211, 'unrecognized operation'],
  [0x0212, 0x0212, 'mistyped argument'],
  [0xa700, 0xa70f, 'out of resources'],
  [0xa801, 0xa801, 'move destination unknown'],
  [0xa900, 0xa9ff, 'data set does not match'],
  [0xb000, 0xbfff, 'warning'],
  [0xc000, 0xcfff, 'cannot understand'],
  [0xfe00, 0xfe00, 'cancelled'],
];
