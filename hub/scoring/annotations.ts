import type { BoxOnInstance, HeatMap, PixelBox } from '../../models/finding.js';
import type { ScoreRecord } from './score-record.js';
import { asModelSaid } from './verdict/standing.js';
import type { Verdict } from './verdict/verdict.js';

interface Box extends PixelBox {
  /** Number of the finding, from 1, in the order in which the report has them. */
  finding: number;
  /** Absent where a physician says so: the model did not score that. */
  score?: number;
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
  /** DiagnosticReport.status of what is drawn; nothing is drawn of what was rejected. */
  status: 'preliminary' | 'final' | 'corrected' | 'entered-in-error';
  /** The report that has taken its place. */
  supersededBy?: string;
  /** What was scored. */
  focus: string;
  studyInstanceUid?: string;
  model: { name: string; version: string };
  findings: {
    number: number;
    score?: number;
    display: string;
    diameterMm?: number;
    volumeMm3?: number;
    physician?: string;
    text?: string;
  }[];
  instances: Annotated[];
  /** There are heat maps, and they are not shown. */
  mapsWithheld: boolean;
}

/**
 * What is drawn of a report as it stands: nothing of what was rejected, and no heat map beside a correction, since it shows what the model looked at.
 * @param verdict the latest word of a physician.
 */
export function annotationsOf(
  record: ScoreRecord,
  { status, supersededBy }: Pick<ScoreAnnotations, 'status' | 'supersededBy'>,
  verdict: Verdict | undefined,
  withMaps: boolean,
): ScoreAnnotations {
  const { scored, manifest, reportId, focus } = record;
  const { studyInstanceUid, model } = scored;
  const { findings } = status === 'entered-in-error' ? { findings: [] } : (verdict?.standing ?? asModelSaid(scored));
  const isTheModels = verdict?.standing.physician === undefined && (status === 'preliminary' || status === 'final');
  const maps = isTheModels ? (scored.maps ?? []) : [];
  const frames = framesOf({ images: { ...record.images, ...verdict?.images } });
  for (const [i, finding] of findings.entries()) {
    const regions = finding.slices.length > 0 ? finding.slices : [finding];
    for (const region of regions) frames.of(region).boxes.push({ finding: i + 1, score: finding.score, ...region.box });
  }
  if (withMaps) for (const map of maps) frames.of(map).maps.push(drawn(map));
  return {
    report: `DiagnosticReport/${reportId}`,
    status,
    ...(supersededBy ? { supersededBy } : {}),
    focus,
    ...(studyInstanceUid ? { studyInstanceUid } : {}),
    model: { name: model.name, version: model.version },
    findings: findings.map(({ score, diameterMm, volumeMm3, site, physician, text }, i) => ({
      number: i + 1,
      display: [manifest.findingCodes[0]?.display, site?.display].filter((part) => part !== undefined).join(', '),
      score,
      diameterMm,
      volumeMm3,
      physician,
      text,
    })),
    instances: frames.all(),
    mapsWithheld: maps.length > 0 && !withMaps,
  };
}

const drawn = ({ box, rows, columns, values }: HeatMap): DrawnMap => ({ ...box, rows, columns, values });

/** Frames in the order in which something is first drawn on them. */
function framesOf({ images }: Pick<ScoreRecord, 'images'>) {
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
