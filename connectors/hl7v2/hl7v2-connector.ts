import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import type { Change, Connector, TakeChange, UnreadableItem } from '../connector.js';
import { SourceError } from '../connector.js';
import { answersTo, type Outcome } from './acknowledge.js';
import type { CharacterSet } from './character-set.js';
import { fieldOf } from './element-fields.js';
import type { Authorities } from './identifiers.js';
import { type InterpretSettings, locatorOf, statementOf } from './interpret.js';
import { listenForMessages, type ListenerSettings } from './listener.js';
import { headerOf, parseMessage } from './message.js';
import type { Frame } from './mllp.js';
import type { AccessionField } from './order-numbers.js';
import { Hl7Problem, placeText } from './problem.js';

export interface Hl7v2Settings {
  port: number;
  host?: string;
  peers: readonly string[];
  tls?: ListenerSettings['tls'];
  /** Of messages whose MSH-18 is empty. */
  characterSet?: CharacterSet;
  /** Assigning authorities of the hospital's own patient numbers. */
  ownAuthorities?: readonly string[];
  /** Systems (URI) of other assigning authorities. */
  authorities?: Authorities['others'];
  /** Where the accession number of orders and reports stands. */
  accessionNumberIn?: AccessionField;
  processingId?: string;
  defaultUtcOffset?: string;
  maxMessageBytes?: number;
  maxSegments?: number;
  maxConnections?: number;
  messageTimeoutMs?: number;
  idleTimeoutMs?: number;
}

/** A hospital whose information system sends HL7 v2 by MLLP: nothing is asked for, what is pushed is taken. */
export function createHl7v2Connector(settings: Hl7v2Settings): Connector {
  const host = settings.host ?? '127.0.0.1';
  const reading: Reading = {
    characterSet: settings.characterSet ?? 'UTF-8',
    maxSegments: settings.maxSegments ?? 10_000,
    accessionNumberIn: settings.accessionNumberIn ?? 'OBR-18',
    processingId: settings.processingId ?? 'P',
    authorities: { own: settings.ownAuthorities ?? [], others: settings.authorities ?? {} },
    defaultUtcOffset: settings.defaultUtcOffset,
  };
  const listener: ListenerSettings = {
    host,
    port: settings.port,
    peers: settings.peers,
    tls: settings.tls,
    maxMessageBytes: settings.maxMessageBytes ?? 8 * 1024 * 1024,
    maxGarbageBytes: 64 * 1024,
    maxConnections: settings.maxConnections ?? 32,
    messageTimeoutMs: settings.messageTimeoutMs ?? 60_000,
    idleTimeoutMs: settings.idleTimeoutMs ?? 3_600_000,
  };
  return {
    async *changes() {},
    retry: async ({ locator, message }) => {
      if (!message) throw new SourceError('not-found', 'The message was not kept.');
      return read({ kind: 'message', bytes: Buffer.from(message) }, reading, locator).change;
    },
    retrieve: async () => {
      throw new SourceError('not-found', 'HL7 v2 sends no images.');
    },
    listen: (take, signal) => listenForMessages(listener, (frame) => answer(frame, reading, take), signal),
    health: () => healthOf(host, settings.port),
    close: async () => {},
  };
}

type Reading = InterpretSettings & { characterSet: CharacterSet; maxSegments: number };

/** Takes one message. It is acknowledged after its commit, refused once it waits in the quarantine, and sent again when neither was possible. */
async function answer(frame: Frame, reading: Reading, take: TakeChange): Promise<readonly Buffer[]> {
  const { change, problem } = read(frame, reading);
  const outcome = await take(change).then(
    ([item]) => (problem ? refused(problem) : item ? refusedBy(item) : { kind: 'accepted' as const }),
    (): Outcome => ({ kind: 'error', text: 'The message can not be taken now. Send it again.' }),
  );
  return answersTo(frame.bytes, outcome);
}

const refused = ({ code, message, place }: Hl7Problem): Outcome => ({ kind: 'rejected', code, text: message, place });

/** What the hub found wrong is said of an element of FHIR: of the field that it came from where that is known. */
const refusedBy = ({ reason, detail }: UnreadableItem): Outcome => ({
  kind: 'rejected',
  code: reason === 'unknown-reference' ? 204 : reason === 'invalid-record' ? 102 : 207,
  text: detail,
  place: fieldOf(detail),
});

/** A message as a change: what it states, or why it can't be read. */
function read(frame: Frame, reading: Reading, locator?: string): { change: Change; problem?: Hl7Problem } {
  try {
    if (frame.kind === 'too-large') throw new Hl7Problem(207, 'too-large', 'The message is longer than the hub takes.');
    const statement = statementOf(parseMessage(frame.bytes, reading), frame.bytes, reading);
    return { change: { kind: 'statement', statement: locator ? { ...statement, locator } : statement } };
  } catch (error) {
    if (!(error instanceof Hl7Problem)) throw error;
    return { change: { kind: 'unreadable', item: unreadable(frame, error, locator) }, problem: error };
  }
}

function unreadable({ kind, bytes }: Frame, problem: Hl7Problem, locator: string | undefined): UnreadableItem {
  return {
    locator: locator ?? locatorOfBytes(bytes),
    reason: problem.reason,
    detail: problem.place ? `${placeText(problem.place)}: ${problem.message}` : problem.message,
    digest: createHash('sha256').update(bytes).digest('hex'),
    ...(kind === 'message' ? { message: bytes } : {}),
  };
}

/** By sender and control id where the header can be read, else by a digest. */
function locatorOfBytes(bytes: Buffer): string {
  try {
    const header = headerOf(bytes);
    const value = (field: number): string => header[field - 1] ?? '';
    return locatorOf({ header: { value }, controlId: value(10) });
  } catch {
    return `mllp/unreadable/${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}`;
  }
}

/** Whether somebody listens: a hub that runs. */
function healthOf(host: string, port: number): ReturnType<Connector['health']> {
  const began = performance.now();
  const there = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return new Promise((resolve) => {
    const socket = connect({ host: there, port, timeout: 3_000 });
    const done = (reachable: boolean, detail: string): void => {
      socket.destroy();
      resolve({ reachable, detail, ...(reachable ? { latencyMs: performance.now() - began } : {}) });
    };
    socket.once('connect', () => done(true, `The hub listens on port ${port}.`));
    socket.once('timeout', () => done(false, `Nobody answers on port ${port}.`));
    socket.once('error', () => done(false, `No hub listens on port ${port}.`));
  });
}
