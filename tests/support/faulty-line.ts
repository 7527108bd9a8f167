import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export type LineState = 'passes' | 'stalls' | 'cuts' | 'trickles' | 'meters';

/** A TCP line to a server on loopback that can be made bad while it is used. */
export interface FaultyLine {
  port: number;
  /**
   * `stalls`: takes connections and passes nothing on; `cuts`: ends each at once; `trickles`: passes on a few bytes at a time; `meters`: passes
   * on what is allowed.
   */
  set(state: LineState): void;
  /** Lets so many bytes more pass a line that meters. */
  allow(bytes: number): void;
  stop(): Promise<void>;
}

const TRICKLE_BYTES = 16;
const TRICKLE_MS = 100;

export async function startFaultyLine(target: number): Promise<FaultyLine> {
  let state: LineState = 'passes';
  let allowed = 0;
  const sockets = new Set<Socket>();
  const held: (() => void)[] = [];
  const free = (): void => {
    for (const go of held.splice(0)) go();
  };
  const pass = async (bytes: Buffer, to: Socket): Promise<void> => {
    while (state === 'stalls' || (state === 'meters' && allowed <= 0)) await new Promise<void>((resolve) => held.push(resolve));
    allowed -= bytes.length;
    for (let at = 0; at < bytes.length; ) {
      const end = state === 'trickles' ? at + TRICKLE_BYTES : bytes.length;
      if (to.destroyed) return;
      to.write(bytes.subarray(at, end));
      at = end;
      if (state === 'trickles') await new Promise((resolve) => setTimeout(resolve, TRICKLE_MS));
    }
  };
  const join = (from: Socket, to: Socket): void => {
    sockets.add(from);
    from.on('error', () => to.destroy());
    from.on('close', () => {
      sockets.delete(from);
      to.destroy();
    });
    from.on('data', (bytes) => {
      from.pause();
      void pass(bytes, to).then(() => from.resume());
    });
  };
  const server = createServer((client) => {
    if (state === 'cuts') return void client.destroy();
    const far = connect(target, '127.0.0.1');
    join(client, far);
    join(far, client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    set(next) {
      state = next;
      allowed = 0;
      if (next === 'cuts') for (const socket of sockets) socket.destroy();
      free();
    },
    allow(bytes) {
      allowed = Math.max(0, allowed) + bytes;
      free();
    },
    async stop() {
      state = 'cuts';
      free();
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
