import type { BoxOnInstance, HeatMap, PixelBox } from '../../models/finding.js';
import type { ScoreRecord } from './score-record.js';

interface Box extends PixelBox {
  /** Number of the finding, from 1, as in the report's conclusion. */
  finding: number;
  score: number;
}

interface DrawnMap extends PixelBox {
  rows: number;
  columns: number;
  values: number[];
}

/** What is drawn on one frame. */
interface Annotated {
  sopInstanceUid: string;
  seriesInstanceUid?: string;
  frame: number;
  boxes: Box[];
  maps: DrawnMap[];
}

/** What a viewer draws over the images of a scored study, frame by frame. */
export interface ScoreAnnotations {
  report: string;
  /** What was scored. */
  focus: string;
  studyInstanceUid?: string;
  model: { name: string; version: string };
  findings: { number: number; score: number; display: string; diameterMm?: number; volumeMm3?: number }[];
  instances: Annotated[];
  /** There are heat maps, and they are not shown. */
  mapsWithheld: boolean;
}

export function annotationsOf(record: ScoreRecord, withMaps: boolean): ScoreAnnotations {
  const { scored, manifest, reportId, focus } = record;
  const { studyInstanceUid, model, findings, maps = [] } = scored;
  const frames = framesOf(record);
  for (const [i, finding] of findings.entries()) {
    const regions = finding.slices.length > 0 ? finding.slices : [finding];
    for (const region of regions) frames.of(region).boxes.push({ finding: i + 1, score: finding.score, ...region.box });
  }
  if (withMaps) for (const map of maps) frames.of(map).maps.push(drawn(map));
  return {
    report: `DiagnosticReport/${reportId}`,
    focus,
    ...(studyInstanceUid ? { studyInstanceUid } : {}),
    model: { name: model.name, version: model.version },
    findings: findings.map(({ score, diameterMm, volumeMm3, site }, i) => ({
      number: i + 1,
      score,
      display: [manifest.findingCodes[0]?.display, site?.display].filter((text) => text !== undefined).join(', '),
      ...(diameterMm === undefined ? {} : { diameterMm }),
      ...(volumeMm3 === undefined ? {} : { volumeMm3 }),
    })),
    instances: frames.all(),
    mapsWithheld: maps.length > 0 && !withMaps,
  };
}

const drawn = ({ box, rows, columns, values }: HeatMap): DrawnMap => ({ ...box, rows, columns, values });

/** Frames in the order in which something is first drawn on them. */
function framesOf({ images }: ScoreRecord) {
  const known = new Map<string, Annotated>();
  return {
    of({ sopInstanceUid, frame }: BoxOnInstance): Annotated {
      const key = `${sopInstanceUid} ${frame}`;
      const seriesInstanceUid = images[sopInstanceUid]?.seriesInstanceUid;
      const series = seriesInstanceUid ? { seriesInstanceUid } : {};
      const annotated = known.get(key) ?? { sopInstanceUid, ...series, frame, boxes: [], maps: [] };
      known.set(key, annotated);
      return annotated;
    },
    all: () => [...known.values()],
  };
}
