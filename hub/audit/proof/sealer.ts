import type { Logger } from 'pino';
import { loadSigningKey, type Secrets, type SigningKey } from '../../access/authentication/signing-key.js';
import { secretsOf } from '../../config.js';
import type { Database } from '../../store/database.js';
import { sql } from '../../store/sql.js';
import { sealAll } from './seal.js';

export interface Sealer {
  readonly key: SigningKey;
  /** Seals what is committed by now, after any sealing that is under way. */
  seal(): Promise<void>;
  /** Seals once more and ends. */
  stop(): Promise<void>;
}

/** Milliseconds that a stop gives the last sealing; what is left the next start takes. */
const LAST_SEALING = 5000;

/** Seals the audit every `auditSealSeconds`, whichever of the hub's processes comes first. */
export async function startSealer(
  db: Database,
  config: { secret: string; previousSecrets?: readonly string[]; auditSealSeconds: number },
  log: Pick<Logger, 'error'>,
): Promise<Sealer> {
  const key = await auditKey(db, secretsOf(config));
  let running: Promise<void> | undefined;
  const inBackground = (): void => {
    running ??= sealAll(db, key)
      .then(
        () => undefined,
        (err) => log.error({ err }, 'audit not sealed'),
      )
      .finally(() => {
        running = undefined;
      });
  };
  const timer = setInterval(inBackground, config.auditSealSeconds * 1000).unref();
  return {
    key,
    seal: async () => void (await sealAll(db, key, { wait: true })),
    stop: async () => {
      clearInterval(timer);
      await running;
      await sealAll(db, key, { until: performance.now() + LAST_SEALING }).catch((err) => log.error({ err }, 'audit not sealed'));
    },
  };
}

/** The key that signs tree heads, and nothing else. Its public part is kept beside the tree for good. */
export async function auditKey(db: Database, secrets: Secrets): Promise<SigningKey> {
  const key = await loadSigningKey(db, secrets, 'audit-signing-key');
  await db.query(
    sql`insert into audit_key (kid, jwk) values (${key.kid}, ${JSON.stringify(key.publicJwk)}::jsonb) on conflict do nothing`,
  );
  return key;
}
