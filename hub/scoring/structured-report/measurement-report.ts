import type { BoxOnInstance, Finding, PixelBox } from '../../../models/finding.js';
import type { Manifest } from '../../../models/manifest.js';
import type { ScoreRecord } from '../score-record.js';
import { type Concept, dcm, ofModels, sct } from './coded-concept.js';
import {
  type Child,
  codeValue,
  type ContentItem,
  container,
  contains,
  image,
  modifiedBy,
  number,
  observedIn,
  polyline,
  textValue,
  uidValue,
} from './content-items.js';
import { stableUid } from './stable-uid.js';

/**
 * The content of a Measurement Report (PS3.16 TID 1500) of a score: what was reported on, by which model, which images were read, a measurement group for
 * each finding with its regions, one for the values about the whole, and the coded statements about it.
 */
export function measurementReport(record: ScoreRecord): ContentItem {
  const { manifest, scored } = record;
  const findings = scored.findings.map((finding, i) => findingGroup(record, finding, i));
  return container(
    dcm('126000', 'Imaging Measurement Report'),
    [
      modifiedBy(codeValue(dcm('121049', 'Language of Content Item and Descendants'), ENGLISH)),
      ...observer(record),
      modifiedBy(codeValue(dcm('121058', 'Procedure reported'), procedureOf(manifest))),
      ...imageLibrary(record),
      contains(container(dcm('126010', 'Imaging Measurements'), [...wholeGroup(record), ...findings].map(contains))),
      contains(container({ system: UMLS, code: 'C0034375', display: 'Qualitative Evaluations' }, evaluations(record))),
    ],
    '1500',
  );
}

const ENGLISH: Concept = { system: 'urn:ietf:bcp:47', code: 'en', display: 'English' };
const UMLS = 'http://www.nlm.nih.gov/research/umls';

/** TID 1001, 1002 and 1004: a device observes. Its UID is that of the model version with exactly this graph. */
const observer = ({ scored: { model }, manifest: { title } }: ScoreRecord): Child[] => [
  observedIn(codeValue(dcm('121005', 'Observer Type'), dcm('121007', 'Device'))),
  observedIn(uidValue(dcm('121012', 'Device Observer UID'), deviceUid(model))),
  observedIn(textValue(dcm('121013', 'Device Observer Name'), title)),
  observedIn(textValue(dcm('121014', 'Device Observer Manufacturer'), MANUFACTURER)),
  observedIn(textValue(dcm('121015', 'Device Observer Model Name'), `${model.name} ${model.version}`)),
  observedIn(textValue(dcm('121016', 'Device Observer Serial Number'), model.sha256)),
];

export const MANUFACTURER = 'Regional imaging federation hub';
export const deviceUid = ({ name, version, sha256 }: ScoreRecord['scored']['model']): string =>
  stableUid('model', name, version, sha256);

/** SNOMED CT procedures by modality (PS3.16 CID 100 is extensible). */
const PROCEDURES: Readonly<Record<string, Concept>> = {
  CT: sct('77477000', 'Computed tomography'),
  MG: sct('71651007', 'Mammography'),
};

const procedureOf = ({ accepts }: Manifest): Concept => PROCEDURES[accepts.modality[0] ?? ''] ?? sct('363679005', 'Imaging');

/** TID 1600 with nothing but the images themselves. */
function imageLibrary({ images }: ScoreRecord): Child[] {
  const all = Object.entries(images).map(([uid, { sopClassUid }]) => contains(image(sopClassUid, uid)));
  if (all.length === 0) return [];
  return [contains(container(dcm('111028', 'Image Library'), [contains(container(dcm('126200', 'Image Library Group'), all))]))];
}

/** TID 4019: which algorithm, and at which operating point. */
const algorithm = ({ scored: { model, thresholds } }: ScoreRecord): Child[] => [
  modifiedBy(textValue(dcm('111001', 'Algorithm Name'), model.name)),
  modifiedBy(textValue(dcm('111003', 'Algorithm Version'), model.version)),
  ...Object.entries(thresholds).map(([name, value]) =>
    modifiedBy(textValue(dcm('111002', 'Algorithm Parameters'), `threshold ${name} = ${value}`)),
  ),
];

/** TID 1410 for a finding on one frame, TID 1411 for one on several. */
function findingGroup(record: ScoreRecord, finding: Finding, index: number): ContentItem {
  const { manifest, reportId } = record;
  const { score, diameterMm, volumeMm3, site } = finding;
  const regions = finding.slices.length > 0 ? finding.slices : [finding];
  const measured = (name: Concept, value: number | undefined, unit: string): Child[] =>
    value === undefined ? [] : [contains(number(name, value, unit))];
  return container(
    dcm('125007', 'Measurement Group'),
    [
      observedIn(textValue(dcm('112039', 'Tracking Identifier'), `${manifest.name} ${index + 1}`)),
      observedIn(uidValue(dcm('112040', 'Tracking Unique Identifier'), stableUid('finding', reportId, String(index)))),
      contains(codeValue(dcm('121071', 'Finding'), manifest.findingCodes[0]!)),
      ...algorithm(record),
      modifiedBy(codeValue(sct('363698007', 'Finding Site'), site ?? manifest.accepts.bodySite[0]!)),
      ...regions.flatMap((region) => imageRegion(record, region)),
      ...measured(ofModels('score', 'Score'), score, '1'),
      ...measured(sct('81827009', 'Diameter'), diameterMm, 'mm'),
      ...measured(sct('118565006', 'Volume'), volumeMm3, 'mm3'),
    ],
    regions.length === 1 ? '1410' : '1411',
  );
}

/** A box as a closed polyline on its frame. An image that the index does not hold can't be referred to. */
function imageRegion({ images }: ScoreRecord, { sopInstanceUid, frame, box }: BoxOnInstance): Child[] {
  const known = images[sopInstanceUid];
  if (!known) return [];
  const from = image(known.sopClassUid, sopInstanceUid, known.frames > 1 ? frame : undefined);
  return [contains(polyline(dcm('111030', 'Image Region'), cornersOf(box), from))];
}

const cornersOf = ({ x, y, width, height }: PixelBox): [number, number][] => [
  [x, y],
  [x + width, y],
  [x + width, y + height],
  [x, y + height],
];

/** TID 1501 for the quantities about the whole; absent where the model states none. */
function wholeGroup(record: ScoreRecord): ContentItem[] {
  const { manifest, scored, reportId } = record;
  const quantities = Object.entries(manifest.summary).flatMap(([name, stated]) =>
    'unit' in stated ? [contains(number(stated.code, scored.summary[name] ?? null, stated.unit))] : [],
  );
  if (quantities.length === 0) return [];
  return [
    container(
      dcm('125007', 'Measurement Group'),
      [
        observedIn(textValue(dcm('112039', 'Tracking Identifier'), `${manifest.name} whole`)),
        observedIn(uidValue(dcm('112040', 'Tracking Unique Identifier'), stableUid('whole', reportId))),
        ...algorithm(record),
        modifiedBy(codeValue(sct('363698007', 'Finding Site'), manifest.accepts.bodySite[0]!)),
        ...quantities,
      ],
      '1501',
    ),
  ];
}

/** The coded values about the whole, whether the operating point is reached, and what a reader must know before he believes any of it. */
function evaluations({ manifest, scored }: ScoreRecord): Child[] {
  const coded = Object.entries(manifest.summary).flatMap(([name, stated]) => {
    const value = 'values' in stated ? stated.values[scored.summary[name] ?? -1] : undefined;
    return value ? [contains(codeValue(stated.code, value))] : [];
  });
  const reached = scored.positive ? sct('10828004', 'Positive') : sct('260385009', 'Negative');
  const caution = [
    'Machine-made and preliminary: no physician has checked it.',
    ...(manifest.licence.use === 'research-only' ? ['For research only.'] : []),
    `Limits of use: ${manifest.limitsOfUse.join(' ')}`,
  ].join(' ');
  return [
    contains(codeValue(ofModels('operating-point', 'Operating point reached'), reached)),
    ...coded,
    contains(textValue(dcm('121106', 'Comment'), caution)),
  ];
}
