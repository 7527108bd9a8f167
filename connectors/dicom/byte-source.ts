import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';

/** Bytes with random access: a file, or a data set that was inflated. */
export interface ByteSource {
  readonly length: number;
  /** At most `length` bytes from `offset`; fewer only at the end. */
  read(offset: number, length: number): Promise<Buffer>;
  close(): Promise<void>;
}

export function bufferSource(bytes: Buffer): ByteSource {
  return {
    length: bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
    close: async () => {},
  };
}

/** Opens an ordinary file; a symbolic link, a pipe or a device is refused. */
export async function fileSource(path: string): Promise<ByteSource> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw Object.assign(new Error('not an ordinary file'), { code: 'EINVAL' });
    return {
      length: stat.size,
      read: (offset, length) => readFully(handle, offset, Math.max(0, Math.min(length, stat.size - offset))),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Streams `[start, end)` in chunks. */
export async function* chunks(
  source: ByteSource,
  start = 0,
  end = source.length,
  chunkSize = 256 * 1024,
): AsyncGenerator<Buffer> {
  for (let offset = start; offset < end; ) {
    const chunk = await source.read(offset, Math.min(chunkSize, end - offset));
    if (chunk.length === 0) throw new Error('the file became shorter while it was read');
    offset += chunk.length;
    yield chunk;
  }
}

/** A stream of byte chunks, without object mode, so that back-pressure counts bytes. */
export function byteStream(source: AsyncIterable<Uint8Array>): Readable {
  return Readable.from(source, { objectMode: false, highWaterMark: 256 * 1024 });
}

async function readFully(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
