import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { uids } from './data-sets.js';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface HostilePacs {
  url: string;
  /** Paths with query, in the order they were asked. */
  asked: string[];
  /** Headers of the last request. */
  lastHeaders(): IncomingMessage['headers'];
  stop(): Promise<void>;
}

/**
 * A DICOMweb server that answers each path, matched from its beginning, as it is told; anything else is 404. `answers` may change meanwhile.
 * @param port to come back on; a free one by default.
 */
export async function startHostilePacs(answers: Record<string, Answer>, port = 0): Promise<HostilePacs> {
  const asked: string[] = [];
  let headers: IncomingMessage['headers'] = {};
  const server = createServer((request, response) => {
    const path = (request.url ?? '').slice(1);
    asked.push(path);
    headers = request.headers;
    const match = Object.keys(answers)
      .sort((a, b) => b.length - a.length)
      .find((key) => path.split('?')[0] === key || path.startsWith(`${key}?`));
    if (match === undefined) response.writeHead(404).end();
    else answers[match]!(request, response);
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    lastHeaders: () => headers,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export const json =
  (value: unknown): Answer =>
  (_, response) => {
    response.writeHead(200, { 'content-type': 'application/dicom+json' }).end(JSON.stringify(value));
  };

/** A query's results page by page, as `limit` and `offset` ask. */
export const paged =
  (entries: unknown[]): Answer =>
  (request, response) => {
    const query = new URL(request.url ?? '', 'http://x').searchParams;
    const offset = Number(query.get('offset') ?? 0);
    json(entries.slice(offset, offset + Number(query.get('limit') ?? 100)))(request, response);
  };

export const html: Answer = (_, response) => {
  response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Please sign in</html>');
};
export const hang: Answer = () => {};
export const hangAfterHeaders: Answer = (_, response) => {
  response.writeHead(200, { 'content-type': 'application/dicom+json' }).write('[{');
};
export const redirect: Answer = (_, response) => {
  response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end();
};
export const huge: Answer = (_, response) => {
  response.writeHead(200, { 'content-type': 'application/dicom+json' });
  response.write('[');
  const more = () => {
    while (!response.destroyed && response.write('{},'.repeat(10_000)));
    if (!response.destroyed) response.once('drain', more);
  };
  more();
};

const value = (vr: string, ...values: unknown[]) => ({ vr, Value: values });

/** A study of a query, with the number of instances it claims. */
export const studyEntry = (uid: string, claimed?: number) => ({
  '0020000D': value('UI', uid),
  ...(claimed === undefined ? {} : { '00201208': value('IS', claimed) }),
});
export const seriesEntry = (uid: string) => ({ '0020000E': value('UI', uid) });

/** Metadata of one instance. */
export const metadata = (study: string, series: string, instance: string, more: object = {}) => ({
  '00080016': value('UI', uids.ctStorage),
  '00080018': value('UI', instance),
  '00080060': value('CS', 'CT'),
  '00100010': value('PN', { Alphabetic: 'Wang^XiaoDong', Ideographic: '王^小东' }),
  '00100020': value('LO', 'P1'),
  '0020000D': value('UI', study),
  '0020000E': value('UI', series),
  ...more,
});
