import type { ScoreRecord } from '../score-record.js';
import { dcm } from './coded-concept.js';
import { type Child, codeValue, observedIn, personName, textValue, uidValue } from './content-items.js';
import { stableUid } from './stable-uid.js';

export const MANUFACTURER = 'Regional imaging federation hub';

/** The UID of the model version with exactly this graph. */
export const deviceUid = ({ name, version, sha256 }: ScoreRecord['scored']['model']): string =>
  stableUid('model', name, version, sha256);

/** TID 1001, 1002 and 1004: a device observes. */
export const deviceObserver = ({ scored: { model }, manifest: { title } }: ScoreRecord): Child[] => [
  observedIn(codeValue(dcm('121005', 'Observer Type'), dcm('121007', 'Device'))),
  observedIn(uidValue(dcm('121012', 'Device Observer UID'), deviceUid(model))),
  observedIn(textValue(dcm('121013', 'Device Observer Name'), title)),
  observedIn(textValue(dcm('121014', 'Device Observer Manufacturer'), MANUFACTURER)),
  observedIn(textValue(dcm('121015', 'Device Observer Model Name'), `${model.name} ${model.version}`)),
  observedIn(textValue(dcm('121016', 'Device Observer Serial Number'), model.sha256)),
];

/** TID 1002 and 1003: a person observes. @param name as people write it. */
export const personObserver = (name: string): Child[] => [
  observedIn(codeValue(dcm('121005', 'Observer Type'), dcm('121006', 'Person'))),
  observedIn(personName(dcm('121008', 'Person Observer Name'), asPersonName(name))),
];

/** A name as it is written, as a Person Name (PS3.5 table 6.2-1 PN): which part of it is which is not known here. */
export const asPersonName = (name: string): string => name.replace(/[\\^=\p{Cc}]/gu, ' ').trim();
