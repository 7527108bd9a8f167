import type { BoxOnInstance, PixelBox } from '../../../models/finding.js';
import type { Manifest } from '../../../models/manifest.js';
import { systems } from '../../../fhir-profiles/codes.js';
import type { ScoreRecord } from '../score-record.js';
import type { Standing, StandingFinding } from '../verdict/standing.js';
import type { Verdict } from '../verdict/verdict.js';
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
import { deviceObserver, personObserver } from './observer.js';
import { stableUid } from './stable-uid.js';

/**
 * The content of a Measurement Report (PS3.16 TID 1500) of a score: what was reported on, by which model, which images were read, a measurement group for
 * each finding with its regions, one for the values about the whole, and the coded statements about it. What a physician says stands in his name.
 */
export function measurementReport(record: ScoreRecord, standing: Standing, verdict?: Verdict): ContentItem {
  const { manifest } = record;
  const findings = standing.findings.map((finding, i) => findingGroup(record, finding, i));
  return container(
    dcm('126000', 'Imaging Measurement Report'),
    [
      modifiedBy(codeValue(dcm('121049', 'Language of Content Item and Descendants'), ENGLISH)),
      ...deviceObserver(record),
      modifiedBy(codeValue(dcm('121058', 'Procedure reported'), procedureOf(manifest))),
      ...imageLibrary(record),
      contains(container(dcm('126010', 'Imaging Measurements'), [...wholeGroup(record, standing), ...findings].map(contains))),
      contains(
        container({ system: UMLS, code: 'C0034375', display: 'Qualitative Evaluations' }, evaluations(record, standing, verdict)),
      ),
    ],
    '1500',
  );
}

export const ENGLISH: Concept = { system: 'urn:ietf:bcp:47', code: 'en', display: 'English' };
const UMLS = 'http://www.nlm.nih.gov/research/umls';

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
function findingGroup(record: ScoreRecord, finding: StandingFinding, index: number): ContentItem {
  const { manifest } = record;
  const { score, diameterMm, volumeMm3, evidence = {}, physician } = finding;
  const regions = finding.slices.length > 0 ? finding.slices : [finding];
  const measured = (name: Concept, value: number | undefined, unit: string): Child[] =>
    value === undefined ? [] : [contains(number(name, value, unit))];
  return container(
    dcm('125007', 'Measurement Group'),
    [
      ...(physician ? personObserver(physician) : []),
      observedIn(
        textValue(
          dcm('112039', 'Tracking Identifier'),
          `${manifest.name} ${finding.ofModel === undefined ? `added ${index + 1}` : finding.ofModel + 1}`,
        ),
      ),
      observedIn(uidValue(dcm('112040', 'Tracking Unique Identifier'), trackingUid(record, finding))),
      contains(codeValue(dcm('121071', 'Finding'), manifest.findingCodes[0]!)),
      ...(physician ? [] : algorithm(record)),
      modifiedBy(siteOf(manifest, finding)),
      ...regions.flatMap((region) => imageRegion(record, region)),
      ...measured(ofModels('score', 'Score'), score, '1'),
      ...measured(sct('81827009', 'Diameter'), diameterMm, 'mm'),
      ...measured(sct('118565006', 'Volume'), volumeMm3, 'mm3'),
      ...Object.entries(manifest.findingValues).flatMap(([name, { code, unit }]) => measured(code, evidence[name], unit)),
      ...commentOn(finding),
    ],
    regions.length === 1 ? '1410' : '1411',
  );
}

/** A finding keeps its UID through a physician's changes; one that he added has its own. */
const trackingUid = ({ reportId }: ScoreRecord, { ofModel, observation }: StandingFinding): string =>
  stableUid('finding', reportId, ofModel === undefined ? (observation ?? '') : String(ofModel));

/** TID 1501: Finding Site, with the side (CID 244) where it is one of two. */
function siteOf({ accepts }: Manifest, { site }: StandingFinding): ContentItem {
  const at = site ?? accepts.bodySite[0]!;
  const side = LATERALITY[`${at.system}|${at.code}`];
  return codeValue(
    sct('363698007', 'Finding Site'),
    at,
    side ? [modifiedBy(codeValue(sct('272741003', 'Laterality'), side))] : [],
  );
}

const LEFT = sct('7771000', 'Left');
const RIGHT = sct('24028007', 'Right');

/** The side that a site lies on. */
const LATERALITY: Readonly<Record<string, Concept>> = {
  [`${systems.snomed}|44029006`]: LEFT,
  [`${systems.snomed}|3341006`]: RIGHT,
  [`${systems.snomed}|80248007`]: LEFT,
  [`${systems.snomed}|73056007`]: RIGHT,
  [`${systems.modelOutput}|left-half-of-cranial-cavity`]: LEFT,
  [`${systems.modelOutput}|right-half-of-cranial-cavity`]: RIGHT,
};

/** Where in the site, and what a physician says of it, in words. */
function commentOn({ siteText, text }: StandingFinding): Child[] {
  const words = [siteText, text].filter((part) => part !== undefined);
  return words.length === 0 ? [] : [contains(textValue(dcm('121106', 'Comment'), words.join('\n')))];
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
function wholeGroup(record: ScoreRecord, { summary, physician }: Standing): ContentItem[] {
  const { manifest, reportId } = record;
  const quantities = Object.entries(manifest.summary).flatMap(([name, stated]) =>
    'unit' in stated ? [contains(number(stated.code, summary[name] ?? null, stated.unit))] : [],
  );
  if (quantities.length === 0) return [];
  return [
    container(
      dcm('125007', 'Measurement Group'),
      [
        ...(physician ? personObserver(physician) : []),
        observedIn(textValue(dcm('112039', 'Tracking Identifier'), `${manifest.name} whole`)),
        observedIn(uidValue(dcm('112040', 'Tracking Unique Identifier'), stableUid('whole', reportId))),
        ...(physician ? [] : algorithm(record)),
        modifiedBy(codeValue(sct('363698007', 'Finding Site'), manifest.accepts.bodySite[0]!)),
        ...quantities,
      ],
      '1501',
    ),
  ];
}

/** The coded values about the whole, whether the operating point is reached, and what a reader must know before he believes any of it. */
function evaluations(
  { manifest }: ScoreRecord,
  { positive, summary, physician }: Standing,
  verdict: Verdict | undefined,
): Child[] {
  const coded = Object.entries(manifest.summary).flatMap(([name, stated]) => {
    const value = 'values' in stated ? stated.values[summary[name] ?? -1] : undefined;
    return value ? [contains(codeValue(stated.code, value))] : [];
  });
  const caution = [
    verdict ? inWords(verdict) : 'Machine-made and preliminary: no physician has checked it.',
    ...(manifest.licence.use === 'research-only' ? ['For research only.'] : []),
    `Limits of use: ${manifest.limitsOfUse.join(' ')}`,
  ].join(' ');
  return [
    ...(physician ? personObserver(physician) : []),
    contains(codeValue(statementOf(verdict), positive ? sct('10828004', 'Positive') : sct('260385009', 'Negative'))),
    ...coded,
    contains(textValue(dcm('121106', 'Comment'), caution)),
  ];
}

/** A physician says whether the whole is positive, not whether a threshold is reached. */
const statementOf = (verdict: Verdict | undefined): Concept =>
  verdict?.standing.physician ? dcm('121071', 'Finding') : ofModels('operating-point', 'Operating point reached');

const inWords = ({ decision, physician, organization, at, reason, text }: Verdict): string =>
  [
    decision === 'correct'
      ? `Made by a model, corrected by ${physician} (${organization}), ${at}; reason: ${reason}.`
      : `Made by a model, accepted by ${physician} (${organization}), ${at}.`,
    ...(text ? [text] : []),
  ].join(' ');

/** What a physician's word brings into a report that may need more than the images' character set. */
export const textsOf = ({ findings }: Standing, { physician, organization, text = '' }: Verdict): string[] => [
  physician,
  organization,
  text,
  ...findings.flatMap((finding) => [finding.physician ?? '', finding.text ?? '']),
];
