import { createServer } from 'node:net';

/** Below the ports that systems give to outgoing connections, which would take one that is free now before it is listened on. */
const FIRST = 10_000;
const EACH = 5_000;

const worker = Number(process.env.JEST_WORKER_ID ?? 1) % 4;
let next = process.ppid % EACH;

/** A port of loopback that nobody listens on, given once: files that run at the same time have ports of their own. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + worker * EACH + (next++ % EACH);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
