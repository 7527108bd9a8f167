import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { hl7, pid } from '../../support/mllp.js';
import { type MergingRegion, mergingRegion } from './merging.js';

let at: MergingRegion;
beforeAll(async () => {
  at = await mergingRegion();
});
afterAll(() => at?.stop());

/** One step of a hospital's day, about numbers 0 to 4. */
const number = fc.nat(4);
const step = fc.oneof(
  fc.record({ kind: fc.constant('register' as const), number }),
  fc.record({ kind: fc.constant('update' as const), number }),
  fc.record({ kind: fc.constant('image' as const), number }),
  fc.record({ kind: fc.constant('merge' as const), number, into: number }),
);

/** Which numbers are one person's, and which of them stands, as plain arrays say it. */
class Oracle {
  readonly survivor = [0, 1, 2, 3, 4];
  readonly images = [0, 0, 0, 0, 0];
  /** Whether the hospital may say so: a number is given up once, and not for one that was given up for it. */
  merge(number: number, into: number): boolean {
    const target = this.survivor[into] as number;
    if (number === into) return false;
    if (this.survivor[number] === target && target === into) return true;
    if (this.survivor[number] !== number || target === number) return false;
    this.survivor.forEach((s, i) => {
      if (s === number) this.survivor[i] = target;
    });
    return true;
  }
  imagesOf(number: number): number {
    return this.images.filter((_, i) => this.survivor[i] === this.survivor[number]).reduce((sum, n) => sum + n, 0);
  }
}

let run = 0;

it('whatever the order of registrations, images and merges: every number finds all of its person, and one Patient of each stands', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
      run += 1;
      const name = (n: number): string => `P${run}-${n}`;
      const oracle = new Oracle();
      for (const s of steps) {
        if (s.kind === 'image') {
          oracle.images[s.number]! += 1;
          expect((await at.image(name(s.number))).quarantined).toEqual([]);
        } else if (s.kind === 'merge') {
          const answer = await at.send(hl7('ADT^A40', [pid(name(s.into)), `MRG|${name(s.number)}`]));
          expect([s, answer]).toEqual([s, oracle.merge(s.number, s.into) ? 'AA' : 'AR']);
        } else expect(await at.send(hl7(s.kind === 'update' ? 'ADT^A08' : 'ADT^A04', [pid(name(s.number))]))).toBe('AA');
      }
      const seen = new Set(
        steps.flatMap((s) =>
          s.kind === 'merge' && s.number !== s.into ? [s.number, s.into] : s.kind === 'merge' ? [] : [s.number],
        ),
      );
      for (const n of seen) {
        const patients = await at.patientsOf(name(n));
        expect([n, patients.length]).toEqual([n, patients.length === 0 ? 0 : 1]);
        if (patients.length === 0) continue;
        expect([n, patients[0]?.active === false]).toEqual([n, oracle.survivor[n] !== n]);
        expect([n, (await at.studiesByNumber(name(n))).length]).toEqual([n, oracle.imagesOf(n)]);
      }
    }),
    { numRuns: 15 },
  );
});
