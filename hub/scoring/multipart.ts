import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { partsOf } from '../imaging/parts.js';

/** A reply has more parts or bytes than a job may hold. */
export class TooLarge extends Error {}

export interface PartLimits {
  bytes: number;
  parts: number;
}

/**
 * Writes the parts of a `multipart/related` stream to private files of `folder`, one after the other. Resolves with their paths.
 * @throws SourceError when the stream is not multipart or ends before its closing delimiter. @throws TooLarge
 */
export async function writeParts(contentType: string, body: Readable, folder: string, limits: PartLimits): Promise<string[]> {
  const files: string[] = [];
  let bytes = 0;
  for await (const part of partsOf(contentType, body)) {
    if (files.length >= limits.parts) throw new TooLarge('the reply has too many parts');
    const path = join(folder, `${files.length + 1}.dcm`);
    const file = await open(path, 'wx', 0o600);
    files.push(path);
    try {
      for await (const chunk of part.body) {
        bytes += chunk.length;
        if (bytes > limits.bytes) throw new TooLarge('the reply has too many bytes');
        await file.writeFile(chunk);
      }
    } finally {
      await file.close();
    }
  }
  return files;
}
