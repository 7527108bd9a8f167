import { once } from 'node:events';
import { createServer, request as forward, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';

/** A line between the hub and an archive that looks at what is stored, and can hold it up. */
export interface ArchiveProxy {
  /** Root of the archive's DICOMweb, through the line. */
  url: string;
  /** SOP Instance UIDs of each request to store that the archive acknowledged. */
  acknowledged: string[][];
  /** Asked before a request to store goes on; its number counts from 1. */
  beforeStore: (number: number) => Promise<void>;
  /** Asked once the archive has stored a request: whether its answer is lost, or replaced by one of this status. */
  losesAnswer: () => boolean | number;
  stop(): Promise<void>;
}

/** @param target root of the archive, without path. @param known the SOP Instance UIDs that are looked for in what is stored. */
export async function startArchiveProxy(target: string, known: () => readonly string[]): Promise<ArchiveProxy> {
  let stores = 0;
  const proxy: ArchiveProxy = {
    url: '',
    acknowledged: [],
    beforeStore: async () => undefined,
    losesAnswer: () => false,
    stop: async () => undefined,
  };
  const server = createServer((asked, answer) => void pass(asked, answer).catch(() => answer.destroy()));
  const pass = async (asked: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of asked) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const isStore = asked.method === 'POST' && (asked.url ?? '').endsWith('/studies');
    if (isStore) {
      stores += 1;
      await proxy.beforeStore(stores);
    }
    const passed = forward(`${target}${asked.url}`, { method: asked.method, headers: asked.headers }, (reply) => {
      const loses = isStore && proxy.losesAnswer();
      if (typeof loses === 'number') return void answer.writeHead(loses).end();
      if (loses) return void answer.destroy();
      if (isStore && reply.statusCode === 200) proxy.acknowledged.push(known().filter((uid) => body.includes(uid)));
      answer.writeHead(reply.statusCode ?? 502, reply.headers);
      pipeline(reply, answer, () => undefined);
    });
    passed.on('error', () => answer.destroy());
    passed.end(body);
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/dicom-web`;
  proxy.stop = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return proxy;
}
