import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import createJpeg2000 from '@cornerstonejs/codec-openjpeg/decodewasmjs';
import createHtj2k from '@cornerstonejs/codec-openjph/wasmjs';
import createJpegLs from '@cornerstonejs/codec-charls/wasmjs';
import createJpeg from '@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs';

const require = createRequire(import.meta.url);

/** JPEG-LS (ISO 14495-1), decoder and encoder; loaded once. */
export const jpegLsCodec = once(() => load(createJpegLs, '@cornerstonejs/codec-charls/wasm'));
/** JPEG 2000 (ISO 15444-1), decoder; loaded once. */
export const jpeg2000Codec = once(() => load(createJpeg2000, '@cornerstonejs/codec-openjpeg/decodewasm'));
/** High-throughput JPEG 2000 (ISO 15444-15), decoder; loaded once. */
export const htj2kCodec = once(() => load(createHtj2k, '@cornerstonejs/codec-openjph/wasm'));
/** JPEG with 8 bits a sample (ISO 10918-1), decoder; loaded once. */
export const jpegCodec = once(() => load(createJpeg, '@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasm'));

/** The decoder of 8-bit JPEG. */
export type JpegDecoder = CodecDecoder;

async function load<Module>(create: CodecFactory<Module>, wasm: string): Promise<Module> {
  // The generated loaders would fetch their wasm from beside the page, which means nothing in a server.
  const wasmBinary = await readFile(require.resolve(wasm));
  return create({ wasmBinary, print: () => undefined, printErr: () => undefined });
}

function once<Module>(start: () => Promise<Module>): () => Promise<Module> {
  let started: Promise<Module> | undefined;
  return () => (started ??= start());
}
