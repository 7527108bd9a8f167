import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import type { PixelRoom } from '../../../../hub/imaging/pixels/pixel-room.js';
import { answerOf, imageObject, roomOf } from './objects.js';

const run = promisify(execFile);
const SIDE = 24;

let room: PixelRoom;
let folder: string;
beforeAll(async () => {
  room = roomOf();
  folder = await mkdtemp(join(tmpdir(), 'other-writers-'));
});
afterAll(async () => {
  room.close();
  await rm(folder, { recursive: true, force: true });
});

const pixelsOf = (object: Buffer): Buffer => object.subarray(object.lastIndexOf(Buffer.from('e07f1000', 'hex')) + 12);

/** Smooth colours, so that lossy codings come near. */
const colours = imageObject({
  rows: SIDE,
  columns: SIDE,
  samplesPerPixel: 3,
  pixels: Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, i) => {
    const [pixel, sample] = [Math.floor(i / 3), i % 3];
    return [40 + (pixel % SIDE) * 6, 200 - Math.floor(pixel / SIDE) * 6, 90 + ((pixel % SIDE) + Math.floor(pixel / SIDE)) * 2][
      sample
    ]!;
  }),
});
const greys = imageObject({
  rows: SIDE,
  columns: SIDE,
  bitsAllocated: 16,
  bitsStored: 12,
  pixels: Buffer.from(
    Uint16Array.from({ length: SIDE * SIDE }, (_, i) => ((i % SIDE) * 83 + Math.floor(i / SIDE) * 61) % 4096).buffer,
  ),
});

/** How another program codes an object, and how far the pixels may be off. */
const codings: [name: string, object: Buffer, command: string, options: string[], most: number][] = [
  ['lossless JPEG in colour', colours, 'dcmcjpeg', ['+e1'], 0],
  ['lossless JPEG in colour, of any predictor', colours, 'dcmcjpeg', ['+el', '+sv', '6'], 0],
  ['lossless JPEG in grey', greys, 'dcmcjpeg', ['+el', '+sv', '4'], 0],
  ['baseline JPEG in YCbCr', colours, 'dcmcjpeg', ['+eb', '+q', '98', '+s4'], 6],
  ['baseline JPEG with shared colours', colours, 'dcmcjpeg', ['+eb', '+q', '98', '+s2'], 12],
  ['baseline JPEG in RGB', colours, 'dcmcjpeg', ['+eb', '+q', '98', '+cr'], 6],
  ['JPEG of 12 bits', greys, 'dcmcjpeg', ['+ee', '+q', '100'], 200],
  ['JPEG-LS by lines', colours, 'dcmcjpls', ['+il'], 0],
  ['JPEG-LS by pixels', colours, 'dcmcjpls', ['+iv'], 0],
  ['JPEG-LS by planes', colours, 'dcmcjpls', ['+in'], 0],
  ['JPEG-LS of 12 bits', greys, 'dcmcjpls', [], 0],
  ['near-lossless JPEG-LS', greys, 'dcmcjpls', ['+en', '+md', '3'], 3],
  ['run lengths in colour', colours, 'dcmcrle', [], 0],
  ['run lengths of 16 bits', greys, 'dcmcrle', [], 0],
  ['big endian', greys, 'dcmconv', ['+tb'], 0],
  ['implicit little endian', greys, 'dcmconv', ['+ti'], 0],
  ['a deflated data set', greys, 'dcmconv', ['+td'], 0],
];

describe('what another program has coded', () => {
  it.each(codings)('as %s is decoded and written anew', async (_name, object, command, options, most) => {
    const [from, to] = [join(folder, 'from.dcm'), join(folder, 'to.dcm')];
    await writeFile(from, object);
    await run(command, [...options, from, to]);
    const coded = await readFile(to);
    const [written] = await answerOf(room, { kind: 'transcode' }, coded);
    const [got, wanted] = [pixelsOf(written!), pixelsOf(object)];
    expect(got).toHaveLength(wanted.length);
    const values = (bytes: Buffer) =>
      object === greys ? Array.from({ length: SIDE * SIDE }, (_, i) => bytes.readUInt16LE(i * 2)) : [...bytes];
    const [mine, theirs] = [values(got), values(wanted)];
    expect(mine.filter((value, i) => Math.abs(value - theirs[i]!) > most)).toEqual([]);
    // What is written anew is an object to that program too.
    await writeFile(to, written!);
    await run('dcmj2pnm', ['--write-png', to, join(folder, 'theirs.png')]);
    const [picture] = await answerOf(room, { kind: 'render', type: 'image/png' }, coded);
    const theirPicture = await readFile(join(folder, 'theirs.png'));
    const [ours, other] = await Promise.all([picture!, theirPicture].map((png) => sharp(png).raw().toBuffer()));
    if (object === colours) expect(ours!.equals(other!)).toBe(true);
  });
});
