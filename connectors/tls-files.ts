import { readFileSync } from 'node:fs';
import type { SecureContextOptions } from 'node:tls';
import { SourceError } from './connector.js';

/** Paths of PEM files: the hub's own certificate with its key, and the authorities that it believes instead of the public ones. */
export interface TlsFiles {
  cert?: string;
  key?: string;
  ca?: string;
}

/** What the files hold now: they may be renewed while the hub runs. @throws SourceError `refused` when one can't be read. */
export function readTlsFiles({ cert, key, ca }: TlsFiles): Pick<SecureContextOptions, 'cert' | 'key' | 'ca'> {
  const read = (path: string | undefined) => (path === undefined ? undefined : readFileSync(path));
  try {
    return { cert: read(cert), key: read(key), ca: read(ca) };
  } catch (error) {
    throw new SourceError('refused', 'A certificate or key of TLS can not be read.', { cause: error });
  }
}
