import { type BusinessStatus, businessStatuses } from '../../fhir-profiles/codes.js';

/**
 * The business states of a referral (after HL7 BSeR and IHE 360X) and the one table of how they follow each other. Pure data and pure
 * functions: what is not in the table does not happen.
 */
export const STATES = businessStatuses;
export type State = BusinessStatus;

/** What a Task asks for: an opinion from another hospital, or the release of a study to the one that asks. */
export type ReferralKind = 'consultation-request' | 'release-request';

/** In whose name a transition is made. A release has a custodian where a consultation has a performer. */
export type Party = 'requester' | 'performer' | 'custodian' | 'hub';

export interface Transition {
  event: string;
  from: readonly State[];
  by: readonly Party[];
  to: State;
  /** Only for this kind of Task; absent: for both. */
  kind?: ReferralKind;
}

export const TRANSITIONS: readonly Transition[] = [
  { event: 'submit', from: ['draft'], by: ['requester'], to: 'requested' },
  { event: 'resubmit', from: ['returned'], by: ['requester'], to: 'requested' },
  { event: 'receive', from: ['requested'], by: ['performer', 'custodian'], to: 'received' },
  { event: 'accept', from: ['requested', 'received'], by: ['performer', 'custodian'], to: 'accepted' },
  { event: 'decline', from: ['requested', 'received'], by: ['performer', 'custodian'], to: 'declined' },
  {
    event: 'return',
    from: ['requested', 'received', 'accepted', 'scheduled', 'in-progress'],
    by: ['performer', 'custodian', 'hub'],
    to: 'returned',
  },
  { event: 'schedule', from: ['accepted'], by: ['performer'], to: 'scheduled' },
  { event: 'start', from: ['accepted', 'scheduled'], by: ['performer'], to: 'in-progress' },
  {
    event: 'complete',
    from: ['accepted', 'scheduled', 'in-progress', 'cancellation-requested'],
    by: ['performer'],
    to: 'completed',
  },
  { event: 'complete', from: ['accepted'], by: ['requester'], to: 'completed', kind: 'release-request' },
  { event: 'cancel', from: ['draft', 'requested', 'received', 'returned'], by: ['requester'], to: 'cancelled' },
  { event: 'give-back', from: ['accepted'], by: ['requester'], to: 'cancelled', kind: 'release-request' },
  { event: 'revoke', from: ['accepted'], by: ['custodian'], to: 'cancelled', kind: 'release-request' },
  {
    event: 'request-cancellation',
    from: ['accepted', 'scheduled', 'in-progress'],
    by: ['requester'],
    to: 'cancellation-requested',
    kind: 'consultation-request',
  },
  { event: 'confirm-cancellation', from: ['cancellation-requested'], by: ['performer', 'hub'], to: 'cancelled' },
  {
    event: 'expire',
    from: ['draft', 'requested', 'received', 'accepted', 'scheduled', 'in-progress', 'returned'],
    by: ['hub'],
    to: 'unattended',
  },
];

/** Task.status (R4 task-status) of each business state. */
export const TASK_STATUS: Readonly<Record<State, string>> = {
  draft: 'draft',
  requested: 'requested',
  received: 'received',
  accepted: 'accepted',
  scheduled: 'accepted',
  'in-progress': 'in-progress',
  completed: 'completed',
  declined: 'rejected',
  'cancellation-requested': 'on-hold',
  cancelled: 'cancelled',
  unattended: 'failed',
  returned: 'on-hold',
};

/** The grant lives exactly in these states: entering them from outside mints it, leaving them ends it. */
const LIVE: ReadonlySet<State> = new Set(['accepted', 'scheduled', 'in-progress']);
export const isLive = (state: State): boolean => LIVE.has(state);

/** What the parties that a caller stands for may do next with a Task in this state. */
export function allowedTransitions(kind: ReferralKind, from: State, parties: readonly Party[]): Transition[] {
  return TRANSITIONS.filter(
    (t) => (t.kind ?? kind) === kind && t.from.includes(from) && t.by.some((party) => parties.includes(party)),
  );
}

/** The transition that leads to a state; undefined when the table has none. */
export function transitionTo(kind: ReferralKind, from: State, to: State, parties: readonly Party[]): Transition | undefined {
  return allowedTransitions(kind, from, parties).find((t) => t.to === to);
}

export const isState = (code: string | undefined): code is State => STATES.includes(code as State);
