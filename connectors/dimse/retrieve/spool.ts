import { randomUUID } from 'node:crypto';
import { open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bufferSource, type ByteSource, fileSource } from '../../dicom/byte-source.js';

/** Objects up to this size are held in memory, bytes. */
const inMemory = 16 * 1024 * 1024;

/** Holds a stream for random access until it is closed: in memory, or in a temporary file that has no name any more and ends with the process. */
export async function spool(stream: AsyncIterable<Uint8Array>): Promise<ByteSource> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const chunks = stream[Symbol.asyncIterator]();
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
    parts.push(next.value);
    length += next.value.length;
    if (length > inMemory) return inFile(parts, chunks);
  }
  return bufferSource(Buffer.concat(parts));
}

async function inFile(parts: Uint8Array[], rest: AsyncIterator<Uint8Array>): Promise<ByteSource> {
  const path = join(tmpdir(), `hub-${randomUUID()}`);
  const file = await open(path, 'wx', 0o600);
  try {
    for (const part of parts.splice(0)) await file.writeFile(part);
    for (let next = await rest.next(); !next.done; next = await rest.next()) await file.writeFile(next.value);
    return await fileSource(path);
  } finally {
    await file.close();
    await unlink(path);
  }
}
