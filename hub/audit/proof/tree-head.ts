import {
  calculateJwkThumbprint,
  CompactSign,
  type CryptoKey,
  compactVerify,
  decodeProtectedHeader,
  importJWK,
  type JWK,
} from 'jose';
import { SIGNING_ALGORITHM, type SigningKey } from '../../access/authentication/signing-key.js';

/** What a signed tree head says. */
export interface TreeHead {
  /** Leaves of the tree. */
  tree_size: number;
  /** Merkle tree hash of them, hex. */
  root_hash: string;
  /** When it was signed: UTC by the database's clock, to the microsecond. */
  timestamp: string;
  /** Its newest leaves are rows that were there before the tree (or that were restored): they may be of any age. */
  swept?: true;
}

/** What the hub signs when it moves a month of the audit out of the database. */
export interface ArchiveStatement {
  /** `YYYY-MM`, UTC. */
  month: string;
  /** Rows that were moved. */
  rows: number;
  /** The file's leaves: [from, to). */
  from: number;
  to: number;
  /** SHA-256 of the file, hex. */
  sha256: string;
  timestamp: string;
}

interface Kinds {
  'audit-tree-head': TreeHead;
  'audit-archive': ArchiveStatement;
}

/** A statement as compact JWS; its type is signed, so that one kind never passes for the other. */
export function sign<Kind extends keyof Kinds>(key: SigningKey, kind: Kind, statement: Kinds[Kind]): Promise<string> {
  return new CompactSign(Buffer.from(JSON.stringify(statement)))
    .setProtectedHeader({ alg: SIGNING_ALGORITHM, kid: key.kid, typ: kind })
    .sign(key.privateKey);
}

/** Public keys by their RFC 7638 thumbprint; what a key calls itself does not count. */
export type KeyRing = ReadonlyMap<string, CryptoKey>;

export async function keyRing(keys: readonly JWK[]): Promise<KeyRing> {
  const entries = keys.map(
    async (key) => [await calculateJwkThumbprint(key), (await importJWK(key, SIGNING_ALGORITHM)) as CryptoKey] as const,
  );
  return new Map(await Promise.all(entries));
}

/** A statement that can't be believed. */
export class NotSigned extends Error {
  constructor(
    readonly kind: 'other-key' | 'signature',
    message: string,
  ) {
    super(message);
  }
}

/** @throws NotSigned: it is of another kind, its key is not in the ring, or its signature does not hold. */
export async function openStatement<Kind extends keyof Kinds>(jws: string, kind: Kind, ring: KeyRing): Promise<Kinds[Kind]> {
  const { kid = '', typ } = headerOf(jws);
  if (typ !== kind) throw new NotSigned('signature', `is no ${kind}`);
  const key = ring.get(kid);
  if (!key) throw new NotSigned('other-key', `is signed with another key (${kid}) than the trusted one (${[...ring.keys()]})`);
  try {
    const { payload } = await compactVerify(jws, key, { algorithms: [SIGNING_ALGORITHM] });
    return JSON.parse(Buffer.from(payload).toString('utf8')) as Kinds[Kind];
  } catch {
    throw new NotSigned('signature', 'has a signature that does not hold');
  }
}

function headerOf(jws: string): { kid?: string; typ?: string } {
  try {
    return decodeProtectedHeader(jws);
  } catch {
    throw new NotSigned('signature', 'is no JWS');
  }
}

/** Microseconds since the epoch of a UTC time as PostgreSQL or a tree head writes it. @returns NaN for any other text */
export function microsOf(text: string): number {
  const [, seconds, fraction = ''] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:Z|\+00:00)$/.exec(text) ?? [];
  return seconds === undefined ? Number.NaN : Date.parse(`${seconds}Z`) * 1000 + Number(fraction.padEnd(6, '0'));
}

/** SQL of the instant in a tree head. */
export const NOW = `to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
