import { segments } from './jpeg-segments.js';
import { type JpegDecoder, jpegCodec } from './wasm-codecs.js';

/**
 * Decodes JPEG with 8 bits a sample (ISO 10918-1) to grey or RGB, interleaved. What the components mean is said by the stream's own
 * markers; where it has none, by Photometric Interpretation (PS3.3 C.7.6.3.1.2), which a decoder would otherwise guess.
 */
export async function decodeJpeg8(bytes: Uint8Array, photometricInterpretation: string): Promise<Uint8Array> {
  const { JPEGDecoder } = await jpegCodec();
  const decoder: JpegDecoder = new JPEGDecoder();
  try {
    const stated = withColourTransform(bytes, photometricInterpretation);
    decoder.getEncodedBuffer(stated.length).set(stated);
    decoder.decode();
    return decoder.getDecodedBuffer().slice();
  } finally {
    decoder.delete();
  }
}

/** With an Adobe marker (APP14) that states whether the components are RGB or YCbCr, unless the stream says it itself. */
function withColourTransform(bytes: Uint8Array, photometricInterpretation: string): Uint8Array {
  for (const { marker, data } of segments(bytes)) {
    if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4) {
      if (data[5] !== 3) return bytes;
      break;
    }
    if (isNamed(data, marker, 0xe0, 'JFIF') || isNamed(data, marker, 0xee, 'Adobe')) return bytes;
  }
  const transform = photometricInterpretation === 'RGB' ? 0 : 1;
  const adobe = Uint8Array.of(0xff, 0xee, 0, 14, ...Buffer.from('Adobe'), 0, 100, 0, 0, 0, 0, transform);
  return Buffer.concat([bytes.subarray(0, 2), adobe, bytes.subarray(2)]);
}

const isNamed = (data: Uint8Array, marker: number, wanted: number, name: string): boolean =>
  marker === wanted && Buffer.from(data.subarray(0, name.length)).toString('latin1') === name;
