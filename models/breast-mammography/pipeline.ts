import type { Picture } from '../../connectors/dicom/pixels/presentation.js';
import { openPicture, type PictureFile, readPictureFiles } from '../dicom/read-picture.js';
import { shrink } from '../dicom/shrink.js';
import { type Side, sideOf } from '../dicom/side.js';
import type { Finding, HeatMap, Input, Interpretation } from '../finding.js';
import type { Manifest } from '../manifest.js';
import { failure, type Outcome, success } from '../outcome.js';
import type { Score, Tools } from '../pipeline.js';
import { type Evidence, hotSpots } from './hot-spots.js';
import { reasonAgainst } from './mammograms.js';

/** What one mammogram says. */
interface Read {
  file: PictureFile;
  side: Side | undefined;
  /** Of an abnormality. */
  probability: number;
  /** In pixels of the image. */
  evidence: Evidence;
}

/** Scores every medio-lateral oblique mammogram of the study; the study is as its worst one. */
export const score: Score = async ({ files }, manifest, tools) => {
  const listed = await readPictureFiles(files);
  if (!listed.ok) return listed;
  const reasons = listed.value.flatMap((file) => reasonAgainst(file, manifest) ?? []);
  const mammograms = listed.value.filter((file) => reasonAgainst(file, manifest) === undefined);
  if (mammograms.length > manifest.parameters.mostImages!)
    return failure('not-applicable', 'The study holds too many mammograms.');
  const reads: Read[] = [];
  const inputs: Input[] = [];
  tools.stage('computing');
  for (const [index, file] of mammograms.entries()) {
    const opened = await openPicture(file);
    if (!opened.ok) return opened;
    const picture = await opened.value.frame(1);
    if (!picture.ok) return picture;
    const answer = await readMammogram(picture.value, manifest, tools);
    if (answer.ok) {
      reads.push({ file, side: sideOf(file.header, 1), ...answer.value });
      inputs.push({ sopInstanceUid: file.sopInstanceUid, sha256: opened.value.sha256 });
    } else reasons.push(answer.message);
    tools.progress((index + 1) / mammograms.length);
  }
  tools.stage('measuring');
  // Where something was nearly a mammogram, what spoke against that tells most.
  const telling = reasons.find((reason) => reason !== 'The study holds no mammograms.') ?? 'The study holds no mammograms.';
  return reads.length > 0 ? success(interpret(reads, inputs, manifest)) : failure('not-applicable', telling);
};

async function readMammogram(
  picture: Picture,
  { parameters }: Manifest,
  tools: Tools,
): Promise<Outcome<Pick<Read, 'probability' | 'evidence'>>> {
  if (Math.max(picture.rows, picture.columns) < parameters.leastLongSide!)
    return failure('not-applicable', 'The mammogram is too small.');
  const shrunk = shrink(picture, parameters.leastLongSide!);
  const { pixels, rows, columns, factor } = shrunk;
  const air = airShare(pixels);
  if (air < parameters.leastAirShare! || air > parameters.mostAirShare!)
    return failure('not-applicable', 'The picture does not look like a mammogram: a breast on black.');
  const outputs = await tools.run({ grey: { data: Float32Array.from(pixels), shape: [1, 1, rows, columns] } });
  const [x = 0, y = 0, width = 0, height = 0] = [...outputs.region!.data].map((value) => value * factor);
  const [mapRows = 0, mapColumns = 0] = outputs.heat_map!.shape;
  const evidence = { values: outputs.heat_map!.data, rows: mapRows, columns: mapColumns, box: { x, y, width, height } };
  return success({ probability: outputs.probability!.data[0]!, evidence: within(evidence, picture) });
}

/** What is darker than an eighth of the brightest hundredth. */
function airShare(pixels: Uint8Array): number {
  const counts = new Uint32Array(256);
  for (const pixel of pixels) counts[pixel]!++;
  let [bright, above] = [255, counts[255]!];
  while (above < pixels.length / 100 && bright > 0) above += counts[--bright]!;
  const dark = counts.subarray(0, Math.max(1, Math.ceil(bright / 8)));
  return dark.reduce((sum, count) => sum + count, 0) / pixels.length;
}

/** Without the cells that lie wholly beyond the right or the lower edge of the picture: there the graph has filled up its canvas. */
function within({ values, rows, columns, box }: Evidence, picture: { rows: number; columns: number }): Evidence {
  const [height, width] = [box.height / rows, box.width / columns];
  const keptRows = Math.min(rows, Math.ceil((picture.rows - box.y) / height - 1e-6));
  const keptColumns = Math.min(columns, Math.ceil((picture.columns - box.x) / width - 1e-6));
  const kept = values.filter((_, i) => i < keptRows * columns && i % columns < keptColumns);
  const keptBox = { ...box, width: keptColumns * width, height: keptRows * height };
  return { values: kept, rows: keptRows, columns: keptColumns, box: keptBox };
}

function interpret(reads: Read[], inputs: Input[], manifest: Manifest): Interpretation {
  const byProbability = [...reads].sort((a, b) => b.probability - a.probability);
  const worst = byProbability[0]!;
  const { thresholds } = manifest;
  const suspicious = byProbability.filter(({ probability }) => probability >= thresholds.probability!);
  const highest = (side: Side): number | null => byProbability.find((read) => read.side === side)?.probability ?? null;
  return {
    studyInstanceUid: worst.file.studyInstanceUid,
    seriesInstanceUid: worst.file.seriesInstanceUid,
    inputs,
    positive: suspicious.length > 0,
    findings: suspicious.flatMap((read) => findingsOf(read, manifest)).sort((a, b) => b.score - a.score),
    maps: byProbability.map(mapOf),
    summary: {
      probability: worst.probability,
      probabilityRight: highest('right'),
      probabilityLeft: highest('left'),
    },
  };
}

const sites = {
  right: { system: 'http://snomed.info/sct', code: '73056007', display: 'Right breast structure' },
  left: { system: 'http://snomed.info/sct', code: '80248007', display: 'Left breast structure' },
} as const;

/** A hot spot says where the evidence lies, not how large a lesion is: nothing is measured in mm. */
function findingsOf({ file, side, evidence }: Read, { thresholds }: Manifest): Finding[] {
  const limits = { leastHeat: thresholds.heat!, most: thresholds.mostFindings! };
  return hotSpots(evidence, file.image, limits).map(({ heat, box }) => {
    const place = { sopInstanceUid: file.sopInstanceUid, frame: 1, box };
    return { ...place, score: heat, ...(side && { site: sites[side] }), slices: [place] };
  });
}

const mapOf = ({ file, evidence: { values, rows, columns, box } }: Read): HeatMap => ({
  sopInstanceUid: file.sopInstanceUid,
  frame: 1,
  box,
  rows,
  columns,
  values: [...values],
});
