import type { Picture } from '../../connectors/dicom/pixels/presentation.js';
import { openPicture, type PictureFile, readPictureFiles } from '../dicom/read-picture.js';
import { shrink } from '../dicom/shrink.js';
import { type Side, sideOf } from '../dicom/side.js';
import type { Input, Interpretation } from '../finding.js';
import type { Manifest } from '../manifest.js';
import { failure, type Outcome, success } from '../outcome.js';
import type { Score, TensorData, Tools } from '../pipeline.js';
import { unlikeFundus } from './appearance.js';
import { reasonAgainst } from './photographs.js';

/** What one photograph says. */
interface Graded {
  file: PictureFile;
  side: Side | undefined;
  /** 0 to 4, of the international clinical scale. */
  grade: number;
  /** Probability of grade 2 or more. */
  referable: number;
}

/** Grades every photograph of the fundus that the study holds; the study is as its worst eye. */
export const score: Score = async ({ files }, manifest, tools) => {
  const read = await readPictureFiles(files);
  if (!read.ok) return read;
  const reasons = read.value.flatMap((file) => reasonAgainst(file, manifest) ?? []);
  const photographs = read.value.filter((file) => reasonAgainst(file, manifest) === undefined);
  const frames = photographs.reduce((sum, { image }) => sum + image.frames, 0);
  if (frames > manifest.parameters.mostFrames!) return failure('not-applicable', 'The study holds too many photographs.');
  const graded: Graded[] = [];
  const inputs: Input[] = [];
  tools.stage('computing');
  for (const [index, file] of photographs.entries()) {
    const opened = await openPicture(file);
    if (!opened.ok) return opened;
    const before = graded.length;
    for (let frame = 1; frame <= file.image.frames; frame++) {
      const picture = await opened.value.frame(frame);
      if (!picture.ok) return picture;
      const answer = await gradePicture(picture.value, manifest, tools);
      if (answer.ok) graded.push({ file, side: sideOf(file.header, frame), ...answer.value });
      else reasons.push(answer.message);
    }
    if (graded.length > before) inputs.push({ sopInstanceUid: file.sopInstanceUid, sha256: opened.value.sha256 });
    tools.progress((index + 1) / photographs.length);
  }
  tools.stage('measuring');
  if (graded.length === 0) return failure('not-applicable', reasons.at(-1) ?? 'The study holds no ophthalmic photographs.');
  return success(interpret(graded, inputs, manifest));
};

async function gradePicture(
  picture: Picture,
  { parameters }: Manifest,
  tools: Tools,
): Promise<Outcome<Pick<Graded, 'grade' | 'referable'>>> {
  if (picture.channels !== 3) return failure('not-applicable', 'The photograph is grey.');
  if (Math.min(picture.rows, picture.columns) < parameters.leastFieldPixels!)
    return failure('not-applicable', 'The photograph is too small.');
  const shrunk = shrink(picture, parameters.leastLongSide!);
  const outputs = await tools.run({ rgb: planes(shrunk) });
  const field = { share: outputs.field_share!.data[0]!, box: [...outputs.box!.data] };
  const reason = unlikeFundus(shrunk, field, parameters);
  if (reason) return failure('not-applicable', reason);
  const grades = [...outputs.grades!.data];
  return success({ grade: grades.indexOf(Math.max(...grades)), referable: outputs.referable!.data[0]! });
}

/** One plane a colour, 0 to 255. */
function planes({ pixels, rows, columns }: Picture): TensorData {
  const count = rows * columns;
  const data = new Float32Array(3 * count);
  for (let i = 0; i < count; i++) for (let c = 0; c < 3; c++) data[c * count + i] = pixels[i * 3 + c]!;
  return { data, shape: [1, 3, rows, columns] };
}

function interpret(graded: Graded[], inputs: Input[], { thresholds }: Manifest): Interpretation {
  const worst = graded.reduce((worst, one) => (one.referable > worst.referable ? one : worst));
  const highest = (of: 'grade' | 'referable', side?: Side): number | null => {
    const values = graded.filter((one) => side === undefined || one.side === side).map((one) => one[of]);
    return values.length > 0 ? Math.max(...values) : null;
  };
  return {
    studyInstanceUid: worst.file.studyInstanceUid,
    seriesInstanceUid: worst.file.seriesInstanceUid,
    inputs,
    positive: worst.referable >= thresholds.referable!,
    findings: [],
    summary: {
      referable: worst.referable,
      grade: highest('grade'),
      referableRight: highest('referable', 'right'),
      gradeRight: highest('grade', 'right'),
      referableLeft: highest('referable', 'left'),
      gradeLeft: highest('grade', 'left'),
    },
  };
}
