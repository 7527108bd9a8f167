/** The wasm codecs carry no types of their own. These are the parts that the project uses. */
interface CodecFrameInfo {
  width: number;
  height: number;
  bitsPerSample: number;
  componentCount: number;
  isSigned?: boolean;
}

interface CodecDecoder {
  getEncodedBuffer(length: number): Uint8Array;
  getDecodedBuffer(): Uint8Array;
  getFrameInfo(): CodecFrameInfo;
  decode(): void;
  delete(): void;
}

interface JpegLsDecoder extends CodecDecoder {
  /** As the codestream has it: 0 for one plane after the other. */
  getInterleaveMode(): { value: number } | number;
}

interface CodecEncoder {
  getDecodedBuffer(frame: CodecFrameInfo): Uint8Array;
  getEncodedBuffer(): Uint8Array;
  setNearLossless(tolerance: number): void;
  encode(): void;
  delete(): void;
}

type CodecFactory<Module> = (options: {
  wasmBinary: Uint8Array;
  print?: (line: string) => void;
  printErr?: (line: string) => void;
}) => Promise<Module>;

declare module '@cornerstonejs/codec-charls/wasmjs' {
  const create: CodecFactory<{ JpegLSDecoder: new () => JpegLsDecoder; JpegLSEncoder: new () => CodecEncoder }>;
  export default create;
}

declare module '@cornerstonejs/codec-openjpeg/decodewasmjs' {
  const create: CodecFactory<{ J2KDecoder: new () => CodecDecoder }>;
  export default create;
}

declare module '@cornerstonejs/codec-openjph/wasmjs' {
  const create: CodecFactory<{ HTJ2KDecoder: new () => CodecDecoder }>;
  export default create;
}

declare module '@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs' {
  const create: CodecFactory<{ JPEGDecoder: new () => CodecDecoder }>;
  export default create;
}
