import type { Connector } from '../../connectors/connector.js';
import { type ConnectorKind, connectorSettings, createConnector } from '../../connectors/index.js';
import type { Outbound } from '../../connectors/outbound.js';
import { type Config, secretsOf } from '../config.js';
import { invalid } from '../outcomes.js';
import { openSettings, type StoredSettings } from './credentials.js';

/** A source as its record says it. */
export interface SourceRecord extends StoredSettings {
  id: string;
  organization_id: string;
  kind: string;
}

export interface OpenDeps {
  config: Pick<Config, 'secret' | 'utcOffset'> & Partial<Pick<Config, 'previousSecrets'>>;
  outbound: Outbound;
}

export interface OpenedSource {
  connector: Connector;
  /** The secret by which the source announces that something changed in it. */
  notifyToken?: string;
}

/** Settings of a source that are the hub's, and none of its connector's. */
const OF_HUB: ReadonlySet<string> = new Set(['autoScore', 'store', 'issuers', 'prefetch', 'storeResults']);

/** A source's connector, and what is the hub's of its settings. @throws Error when its kind, settings or credentials are not usable. */
export function openSource({ config, outbound }: OpenDeps, { id, kind, ...stored }: SourceRecord): OpenedSource {
  const { notifyToken, ...rest } = openSettings(secretsOf(config), id, stored);
  const settings = Object.fromEntries(Object.entries(rest).filter(([name]) => !OF_HUB.has(name)));
  const connector = createConnector(knownKind(kind), { defaultUtcOffset: config.utcOffset, ...settings }, { outbound });
  return { connector, ...(typeof notifyToken === 'string' ? { notifyToken } : {}) };
}

/** Settings as a person gives them, checked. @throws Refusal 400 that names the elements that are wrong, never their values. */
export function checkSettings(kind: string, settings: Record<string, unknown>): void {
  const result = connectorSettings[knownKind(kind)].safeParse(settings);
  if (result.success) return;
  throw invalid(
    result.error.issues.map((i) => `settings${i.path.map((p) => `.${String(p)}`).join('')}: ${i.message}`).join('; '),
  );
}

function knownKind(kind: string): ConnectorKind {
  if (Object.hasOwn(connectorSettings, kind)) return kind as ConnectorKind;
  throw invalid(`kind: one of ${Object.keys(connectorSettings).join(', ')}`);
}
