import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { businessStatuses } from '../../../fhir-profiles/codes.js';
import {
  allowedTransitions,
  isLive,
  type Party,
  type ReferralKind,
  STATES,
  type State,
  TASK_STATUS,
  TRANSITIONS,
  transitionTo,
} from '../../../hub/referral/transitions.js';

const PARTIES: Party[] = ['requester', 'performer', 'custodian', 'hub'];
const KINDS: ReferralKind[] = ['consultation-request', 'release-request'];
/** R4 task-status. */
const R4 = [
  'draft',
  'requested',
  'received',
  'accepted',
  'rejected',
  'ready',
  'cancelled',
  'in-progress',
  'on-hold',
  'failed',
  'completed',
  'entered-in-error',
];
const TERMINAL: State[] = ['completed', 'declined', 'cancelled', 'unattended'];
/** Who can ever act on a Task of a kind. */
const PRESENT: Record<ReferralKind, Party[]> = {
  'consultation-request': ['requester', 'performer', 'hub'],
  'release-request': ['requester', 'custodian', 'hub'],
};

const kind = fc.constantFrom(...KINDS);
const party = fc.constantFrom(...PARTIES);
/** Wishes, sensible or not: who wants which state next. */
const wishes = fc.array(fc.tuple(party, fc.constantFrom(...STATES)), { maxLength: 40 });

/** The states and steps that a Task goes through when those wishes are made of it. */
function walk(of: ReferralKind, wanted: [Party, State][]) {
  let state: State = 'draft';
  const steps: { from: State; to: State; by: Party; event: string }[] = [];
  for (const [by, to] of wanted.filter(([p]) => PRESENT[of].includes(p))) {
    const step = transitionTo(of, state, to, [by]);
    if (!step) continue;
    steps.push({ from: state, to: step.to, by, event: step.event });
    state = step.to;
  }
  return { state, steps };
}

describe('the table of transitions', () => {
  it('speaks of the states of the code system, and gives each an R4 Task.status', () => {
    expect([...STATES].sort()).toEqual([...businessStatuses].sort());
    for (const state of STATES) expect(R4).toContain(TASK_STATUS[state]);
  });

  it('reaches every state, for one kind or the other', () => {
    const reached = new Set<State>(['draft']);
    for (let size = 0; size !== reached.size; ) {
      size = reached.size;
      for (const t of TRANSITIONS) if (t.from.some((s) => reached.has(s))) reached.add(t.to);
    }
    expect([...reached].sort()).toEqual([...STATES].sort());
  });

  it('lets nobody leave a state in which the Task is over', () => {
    for (const of of KINDS) for (const state of TERMINAL) expect(allowedTransitions(of, state, PARTIES)).toEqual([]);
  });

  it('lets the hub close every other state, so that no Task stays for ever', () => {
    for (const of of KINDS)
      for (const state of STATES.filter((s) => !TERMINAL.includes(s))) {
        const closing = allowedTransitions(of, state, ['hub']).map((t) => t.to);
        expect(closing.some((to) => TERMINAL.includes(to))).toBe(true);
      }
  });

  it('has one step at most for a party from one state to another', () => {
    for (const of of KINDS)
      for (const from of STATES)
        for (const by of PARTIES) {
          const targets = allowedTransitions(of, from, [by]).map((t) => t.to);
          expect(new Set(targets).size).toBe(targets.length);
        }
  });

  it('never changes a state by anything but a row of the table', () => {
    fc.assert(
      fc.property(kind, wishes, (of, wanted) => {
        for (const s of walk(of, wanted).steps)
          expect(
            TRANSITIONS.some((t) => t.event === s.event && t.to === s.to && t.from.includes(s.from) && t.by.includes(s.by)),
          ).toBe(true);
      }),
    );
  });

  it('opens access only by an acceptance, and never by the one who asked', () => {
    fc.assert(
      fc.property(kind, wishes, (of, wanted) => {
        for (const { from, to, by, event } of walk(of, wanted).steps) {
          if (isLive(from) || !isLive(to)) continue;
          expect(event).toBe('accept');
          expect(['performer', 'custodian']).toContain(by);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('lets whoever discloses end the access in one step, whatever the others do', () => {
    const discloser: Record<ReferralKind, Party> = { 'consultation-request': 'requester', 'release-request': 'custodian' };
    fc.assert(
      fc.property(kind, wishes, (of, wanted) => {
        const { state } = walk(of, wanted);
        if (!isLive(state)) return;
        expect(allowedTransitions(of, state, [discloser[of]]).some((t) => !isLive(t.to))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
