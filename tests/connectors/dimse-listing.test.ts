import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { text } from '../../connectors/dicom/describe.js';
import type { DicomJson } from '../../connectors/dicom/values.js';
import { dayOf, earliest, halves, latest, today } from '../../connectors/dimse/listing/dates.js';
import type { Finder } from '../../connectors/dimse/listing/finder.js';
import { listStudies, unknownHabits } from '../../connectors/dimse/listing/list-studies.js';
import { createMemory } from '../../connectors/dimse/listing/memory.js';
import type { Query } from '../../connectors/dimse/services/find.js';

/** A study as a PACS lists it. */
const row = (n: number, date: string, time: string): DicomJson => ({
  '0020000D': { vr: 'UI', Value: [`1.2.${n}`] },
  '00080020': { vr: 'DA', Value: [date] },
  '00080030': time === '' ? { vr: 'TM' } : { vr: 'TM', Value: [time] },
});

/** Matches ranges as PS3.4 C.2.2.2.5 says, and gives at most so many answers. */
function finderOver(rows: readonly DicomJson[], most: number, says: boolean): Finder & { asked: number } {
  const isIn = (value: string | undefined, range: string | undefined): boolean => {
    if (!range) return true;
    if (value === undefined) return false;
    if (!range.includes('-')) return value === range;
    const [from = '', to = ''] = range.split('-');
    return value >= from && (to === '' || value <= to);
  };
  const finder = {
    asked: 0,
    find: async ({ keys }: Query) => {
      finder.asked += 1;
      const matching = rows.filter(
        (one) => isIn(text(one, '00080020'), keys['00080020']) && isIn(text(one, '00080030'), keys['00080030']),
      );
      return { entries: matching.slice(0, most), isWhole: !says || matching.length <= most };
    },
    close: async () => undefined,
  };
  return finder;
}

const date = fc
  .date({ min: new Date('2024-01-01'), max: new Date('2024-03-31'), noInvalidDate: true })
  .map((at) => at.toISOString().slice(0, 10).replaceAll('-', ''));
const time = fc
  .tuple(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }), fc.integer({ min: 0, max: 59 }))
  .map((parts) => parts.map((part) => String(part).padStart(2, '0')).join(''));
const span = { from: dayOf('20240101')!, to: dayOf('20240331')! };

describe('a listing by windows of dates', () => {
  it('has every study, or says that it may not have, whatever the PACS keeps back of an answer', async () => {
    const studies = fc.array(fc.tuple(date, time), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(studies, fc.integer({ min: 1, max: 40 }), fc.boolean(), async (given, most, says) => {
        const rows = given.map(([on, at], n) => row(n, on, at));
        const habits = { ...unknownHabits(), gives: most };
        const { studies: listed, isWhole } = await listStudies(finderOver(rows, most, says), span, habits);
        if (isWhole)
          expect(listed.map((one) => text(one, '0020000D')).sort()).toEqual(rows.map((one) => text(one, '0020000D')).sort());
        else expect(listed.length).toBeLessThan(rows.length + 1);
      }),
      { numRuns: 300 },
    );
  });

  it('of a PACS that keeps nothing back asks once, and learns how much it gives', async () => {
    const rows = Array.from({ length: 700 }, (_, n) => row(n, '20240215', `${String(n % 24).padStart(2, '0')}0000`));
    rows.push(row(700, '20231224', '100000'));
    const habits = unknownHabits();
    const first = finderOver(rows, Number.POSITIVE_INFINITY, true);
    expect((await listStudies(first, span, habits)).studies).toHaveLength(700);
    const second = finderOver(rows, Number.POSITIVE_INFINITY, true);
    expect((await listStudies(second, span, habits)).studies).toHaveLength(700);
    expect(second.asked).toBe(1);
  });

  it('splits a span into two that touch and do not overlap', () => {
    const day = fc.integer({ min: earliest, max: latest });
    fc.assert(
      fc.property(day, day, (a, b) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        const parts = halves({ from, to });
        if (from === to) expect(parts).toBeUndefined();
        else expect([parts![1].from, parts![1].to + 1, parts![0].to]).toEqual([from, parts![0].from, to]);
      }),
    );
  });

  it('knows what day it is where the PACS stands', () => {
    const late = Date.parse('2024-02-29T17:30:00Z');
    expect(today(late, '+08:00')).toBe(dayOf('20240301'));
    expect(today(late, '-05:00')).toBe(dayOf('20240229'));
    expect(today(late)).toBe(dayOf('2024.02.29'));
  });
});

describe('what was taken of a listing', () => {
  const study = (more: object = {}): DicomJson => ({ ...row(1, '20240101', '10'), ...more }) as DicomJson;
  const counted = (n: number) => ({ '00201208': { vr: 'IS', Value: [n] } });

  it('is known while it is listed the same', () => {
    const memory = createMemory();
    memory.remember('1.2.1', study(counted(3)), true, 3);
    expect(memory.isKnown('1.2.1', study(counted(3)))).toBe(true);
    expect(memory.isKnown('1.2.1', study(counted(4)))).toBe(false);
    expect(memory.isOtherwise('1.2.1', study(counted(4)), 4)).toBe(false);
    expect(memory.isOtherwise('1.2.1', study(counted(2)), 2)).toBe(true);
    expect(memory.isOtherwise('1.2.1', study({ ...counted(3), '00081030': { vr: 'LO', Value: ['x'] } }), 3)).toBe(true);
    memory.remember('1.2.1/1', study(), true, 3);
    memory.forget('1.2.1');
    expect(memory.isKnown('1.2.1/1', study())).toBe(false);
  });

  it('is looked at again after a minute, two, four, where a change would not show', () => {
    let now = 0;
    const memory = createMemory(10, () => now);
    const rests: number[] = [];
    for (let i = 0; i < 6; i += 1) {
      memory.remember('1.2.1', study(), false, 1);
      const begin = now;
      while (memory.isKnown('1.2.1', study())) now += 1_000;
      rests.push((now - begin) / 60_000);
    }
    expect(rests).toEqual([1, 2, 4, 8, 15, 15]);
  });

  it('forgets the oldest where there is too much', () => {
    const memory = createMemory(2);
    for (const uid of ['1', '2', '3']) memory.remember(uid, study(), true, 1);
    expect(['1', '2', '3'].map((uid) => memory.isKnown(uid, study()))).toEqual([false, true, true]);
  });
});
