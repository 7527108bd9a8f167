import { systems } from '../../fhir-profiles/codes.js';
import { type Concept, conceptOf } from './codes.js';
import { DELETED, type Segment } from './message.js';
import { Hl7Problem } from './problem.js';
import { dateTimeOf } from './time.js';

/** One result of a report: an OBX, or the lines of text that several give together. */
export interface Finding {
  /** Code and place within the report: the same in its next version. */
  place: string;
  code: Concept;
  /** Observation.status, where the OBX says one; undefined: the report's. */
  status: string | undefined;
  /** One of the value[x] of Observation, or why there is none. */
  value: object;
  interpretation?: Concept;
  range?: string;
}

export interface Attachment {
  contentType: string;
  data: string;
  title?: string;
}

/** OBX-11 (table 0085) to Observation.status. */
const STATUSES: Readonly<Record<string, string>> = {
  F: 'final',
  U: 'final',
  C: 'corrected',
  P: 'preliminary',
  R: 'preliminary',
  S: 'preliminary',
  B: 'preliminary',
  I: 'registered',
  X: 'cancelled',
  D: 'entered-in-error',
  W: 'entered-in-error',
};
const TEXTS = new Set(['TX', 'FT', 'ST', '']);

/** Results and attached documents of the OBX segments of one report. Text that several OBX of one code and sub-id give is one result. */
export function findingsOf(
  all: readonly Segment[],
  defaultUtcOffset: string | undefined,
): { findings: Finding[]; attachments: Attachment[] } {
  const findings: Finding[] = [];
  const texts = new Map<string, Finding & { value: { valueString: string } }>();
  const counts = new Map<string, number>();
  const attachments: Attachment[] = [];
  for (const obx of all) {
    const type = obx.value(2);
    if (type === 'ED') {
      attachments.push(attachmentOf(obx));
      continue;
    }
    const key = `${codeText(obx)}/${obx.value(4)}`;
    const isText = TEXTS.has(type);
    const before = isText ? texts.get(key) : undefined;
    if (before) {
      before.value.valueString += `\n${textOf(obx)}`;
      continue;
    }
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    const finding = {
      ...described(obx),
      place: count > 1 ? `${key}/${count}` : key,
      value: isText ? { valueString: textOf(obx) } : resultOf(obx, type, defaultUtcOffset),
    };
    findings.push(finding);
    if (isText) texts.set(key, finding as Finding & { value: { valueString: string } });
  }
  return { findings: findings.map(withoutEmptyText), attachments };
}

const codeText = (obx: Segment): string => [obx.value(3), obx.value(3, 1, { sub: 2 })].filter(Boolean).join('&');

function described(obx: Segment): Omit<Finding, 'place' | 'value'> {
  const code = conceptOf(obx, 3);
  if (!code) throw new Hl7Problem(101, 'invalid-record', 'The observation has no code.', obx.place(3));
  const interpretation = obx.value(8);
  const range = obx.value(7);
  return {
    code,
    status: STATUSES[obx.value(11)],
    ...(interpretation && interpretation !== DELETED
      ? { interpretation: { coding: [{ system: systems.observationInterpretation, code: interpretation }] } }
      : {}),
    ...(range && range !== DELETED ? { range } : {}),
  };
}

/** All repetitions of a text are lines of it. */
function textOf(obx: Segment): string {
  const lines = Array.from({ length: Math.max(1, obx.repetitions(5)) }, (_, i) => obx.text(5, i + 1));
  return lines.filter((line) => line !== DELETED).join('\n');
}

/** An Observation needs a value or says that there is none. */
function withoutEmptyText(finding: Finding): Finding {
  const { valueString } = finding.value as { valueString?: string };
  if (valueString === undefined) return finding;
  const text = valueString.trim();
  return { ...finding, value: text ? { valueString: text } : UNKNOWN };
}

const UNKNOWN = {
  dataAbsentReason: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/data-absent-reason', code: 'unknown' }] },
};

function resultOf(obx: Segment, type: string, defaultUtcOffset: string | undefined): object {
  if (obx.value(5) === '' || obx.value(5) === DELETED) return UNKNOWN;
  switch (type) {
    case 'NM':
      return { valueQuantity: quantityOf(obx, obx.value(5)) };
    case 'SN':
      return structuredOf(obx);
    case 'CE':
    case 'CWE':
    case 'CNE':
    case 'CF':
      return { valueCodeableConcept: conceptOf(obx, 5) };
    case 'DT':
    case 'TS':
    case 'DTM':
      return { valueDateTime: dateTimeOf(obx, 5, defaultUtcOffset) };
    default:
      return { valueString: obx.text(5) };
  }
}

function quantityOf(obx: Segment, text: string, comparator?: string): object {
  if (!/^[+-]?\d{1,15}(\.\d{1,10})?$/.test(text))
    throw new Hl7Problem(102, 'invalid-record', 'The value is no number.', obx.place(5));
  const unit = obx.value(6, 2) || obx.value(6);
  const isUcum = obx.value(6, 3).toUpperCase() === 'UCUM';
  return {
    value: Number(text),
    ...(comparator ? { comparator } : {}),
    ...(unit ? { unit } : {}),
    ...(isUcum && obx.value(6) ? { system: systems.ucum, code: obx.value(6) } : {}),
  };
}

/** SN: `<^10`, `>=^5`, `^1^-^3`. What is no single bounded number stays text. */
function structuredOf(obx: Segment): object {
  const [comparator = '', first = '', separator = '', second = ''] = [1, 2, 3, 4].map((c) => obx.value(5, c));
  const isOne = first !== '' && separator === '' && second === '' && ['', '=', '<', '<=', '>', '>='].includes(comparator);
  if (isOne) return { valueQuantity: quantityOf(obx, first, comparator === '=' ? '' : comparator) };
  return { valueString: [comparator, first, separator, second].filter(Boolean).join(' ') };
}

const TYPES: Readonly<Record<string, string>> = {
  PDF: 'application/pdf',
  RTF: 'application/rtf',
  HTML: 'text/html',
  XML: 'application/xml',
  JPEG: 'image/jpeg',
  TEXT: 'text/plain',
};

/** An encapsulated document (ED): source, type, subtype, encoding, data. */
function attachmentOf(obx: Segment): Attachment {
  const [, type = '', subtype = '', encoding = '', data = ''] = [1, 2, 3, 4, 5].map((c) => obx.value(5, c));
  const contentType =
    TYPES[subtype.toUpperCase()] ??
    TYPES[type.toUpperCase()] ??
    (/^[a-z]+$/i.test(type) && /^[a-z0-9.+-]+$/i.test(subtype) ? `${type}/${subtype}`.toLowerCase() : undefined);
  const base64 = data.replace(/\s/g, '');
  const isSound =
    encoding.toUpperCase() === 'BASE64' && base64 !== '' && base64.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(base64);
  if (!contentType || !isSound)
    throw new Hl7Problem(102, 'invalid-record', 'The document is no Base64 of a known type.', obx.place(5));
  const title = obx.value(3, 2);
  return { contentType, data: base64, ...(title ? { title } : {}) };
}

const IMPRESSION = /^(19005-8|59776-5|IMP|IMPRESSION)$/i;

/** Whether a text is what the report concludes: by its code, its suffix (`&IMP`), or its name. */
export function isImpression({ code, place }: Finding): boolean {
  const named = [code.text ?? '', ...(code.coding ?? []).flatMap((c) => [c.code, c.display ?? ''])];
  return (
    named.some((n) => IMPRESSION.test(n) || /impression|conclusion|诊断意见|影像诊断|印象|结论/i.test(n)) ||
    /&IMP(\/|$)/i.test(place)
  );
}
