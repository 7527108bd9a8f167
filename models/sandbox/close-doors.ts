/**
 * What Node's permission model leaves open once native code is let in, closed from within the scoring process before any model's code is loaded:
 * connections, signals to other processes, further native libraries. Beside the kernel's walls (confinement.ts), not in their place.
 */
import dgram from 'node:dgram';
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';

function refuse(): never {
  throw Object.assign(new Error('The scoring process may not do this.'), { code: 'ERR_ACCESS_DENIED' });
}

type Doors = Record<string, unknown>;

const replace = (owner: object, names: string[]): void => {
  for (const name of names) Object.defineProperty(owner, name, { value: refuse, writable: false, configurable: false });
};

export function closeDoors(): void {
  replace(net.Socket.prototype, ['connect']);
  replace(net.Server.prototype, ['listen']);
  replace(dgram, ['createSocket', 'Socket']);
  for (const resolver of [dns, dns.promises]) {
    const functions = Object.entries(resolver as unknown as Doors).filter(([, value]) => typeof value === 'function');
    replace(
      resolver,
      functions.map(([name]) => name),
    );
  }
  replace(process, ['kill', 'dlopen', 'binding', '_linkedBinding', 'chdir', 'setuid', 'setgid', 'seteuid', 'setegid']);
  syncBuiltinESMExports();
}
