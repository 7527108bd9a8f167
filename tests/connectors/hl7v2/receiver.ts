import type { Change, UnreadableItem } from '../../../connectors/connector.js';
import { createHl7v2Connector, type Hl7v2Settings } from '../../../connectors/hl7v2/hl7v2-connector.js';
import type { FhirRecord, Statement } from '../../../connectors/statement.js';
import { type MllpClient, mllpClient } from '../../support/mllp.js';
import { freePort } from '../../support/free-port.js';

/** The connector, listening, with somebody who takes what it hears. */
export interface Receiver {
  port: number;
  /** What was taken, in order. */
  changes: Change[];
  /** Answers the next changes; by default all are taken. */
  take: (change: Change) => Promise<readonly UnreadableItem[]>;
  client(): Promise<MllpClient>;
  stop(): void;
}

export async function receiver(settings: Partial<Hl7v2Settings> = {}): Promise<Receiver> {
  const port = await freePort();
  const stopping = new AbortController();
  const clients: MllpClient[] = [];
  const at: Receiver = {
    port,
    changes: [],
    take: async () => [],
    client: async () => {
      const client = await mllpClient(port);
      clients.push(client);
      return client;
    },
    stop: () => {
      for (const client of clients) client.end();
      stopping.abort();
    },
  };
  const connector = createHl7v2Connector({ port, peers: ['127.0.0.0/8'], defaultUtcOffset: '+08:00', ...settings });
  await connector.listen?.(async (change) => {
    at.changes.push(change);
    const item = change.kind === 'unreadable' ? [change.item] : [];
    return [...item, ...(await at.take(change))];
  }, stopping.signal);
  return at;
}

export const statementOf = (change: Change | undefined): Statement => {
  if (change?.kind !== 'statement') throw new Error(`no statement but ${change?.kind}`);
  return change.statement;
};

/** The resources of a statement, in order. */
export const recordsOf = (change: Change | undefined): FhirRecord[] =>
  statementOf(change).steps.flatMap((step) => (step.kind === 'record' ? [step.resource] : []));
