import { randomUUID } from 'node:crypto';

/** A multipart/related message of objects, as a STOW-RS client sends it. */
export function message(objects: readonly Buffer[], boundary: string = randomUUID()): { contentType: string; body: Buffer } {
  const parts = objects.flatMap((bytes) => [
    Buffer.from(`--${boundary}\r\nContent-Type: application/dicom\r\n\r\n`),
    bytes,
    Buffer.from('\r\n'),
  ]);
  return {
    contentType: `multipart/related; type="application/dicom"; boundary="${boundary}"`,
    body: Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]),
  };
}
