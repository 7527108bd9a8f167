import type { Step } from '../statement.js';
import { noNumber, ownNumber, ownNumbers } from './identifiers.js';
import type { Message, Segment } from './message.js';
import { type PersonSettings, patientOf, pidOf } from './person.js';
import { Hl7Problem } from './problem.js';

/**
 * ADT A40 (merge patient identifiers) and A47 (change patient identifier): each PID names the number that stays, the MRG after it the one that is given
 * up. The numbers are joined before the demographics are taken, so that neither has to be known before.
 */
export function mergeSteps(message: Message, settings: PersonSettings): Step[] {
  const pairs = groupsOf(message);
  return pairs.flatMap(({ pid, mrg }) => {
    const survivor = ownNumber(pid, 3, settings.authorities);
    const retired = ownNumber(mrg, 1, settings.authorities);
    if (survivor === retired) throw new Hl7Problem(204, 'invalid-record', 'The two numbers are the same.', mrg.place(1));
    const merge: Step = { kind: 'patient-merge', survivor, retired };
    return [merge, patientOf(pid, settings, true)];
  });
}

/**
 * ADT A43 (move patient information, patient identifier list): the numbers in MRG-1 go, together, to the patient of PID. He is known by another number in PID-3, or
 * by PID-2 where PID-3 repeats the number that moves (section 3.3.43).
 */
export function moveSteps(message: Message, settings: PersonSettings): Step[] {
  return groupsOf(message).map(({ pid, mrg }): Step => {
    const numbers = ownNumbers(mrg, 1, settings.authorities);
    if (numbers.length === 0) throw noNumber(mrg, 1);
    const others = ownNumbers(pid, 3, settings.authorities).filter((number) => !numbers.includes(number));
    const to = others[0] ?? pid.value(2);
    if (others.length > 1)
      throw new Hl7Problem(
        102,
        'missing-identifier',
        'There are several numbers of the patient that they move to.',
        pid.place(3),
      );
    if (to === '' || numbers.includes(to))
      throw new Hl7Problem(101, 'missing-identifier', 'No number says to which patient they move.', pid.place(3));
    return { kind: 'patient-move', numbers, to };
  });
}

interface Group {
  pid: Segment;
  mrg: Segment;
}

function groupsOf(message: Message): Group[] {
  const groups: Group[] = [];
  let pid: Segment | undefined;
  for (const segment of message.segments) {
    if (segment.name === 'PID') pid = segment;
    if (segment.name !== 'MRG') continue;
    if (!pid) throw new Hl7Problem(100, 'not-hl7', 'A MRG follows no PID.', segment.place(1));
    groups.push({ pid, mrg: segment });
    pid = undefined;
  }
  if (groups.length === 0) {
    pidOf(message);
    throw new Hl7Problem(100, 'not-hl7', 'There is no MRG segment.', { segment: 'MRG' });
  }
  return groups;
}
