import { connect, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

export const VT = '\x0b';
export const END = '\x1c\r';

/** A sender of HL7 v2 on one connection. */
export interface MllpClient {
  socket: Socket;
  /** Sends a message in its frame and waits for so many answers; each as its segments. */
  send(message: string | Buffer, answers?: number): Promise<string[][]>;
  /** Sends bytes as they are. */
  write(bytes: string | Buffer): void;
  /** Waits for so many further answers. */
  answers(count: number, withinMs?: number): Promise<string[][]>;
  /** Resolves when the other side has closed the connection. */
  closed(): Promise<void>;
  end(): void;
}

export async function mllpClient(port: number, options: { host?: string; tls?: ConnectionOptions } = {}): Promise<MllpClient> {
  const { host = '127.0.0.1', tls } = options;
  const socket = tls ? connectTls({ host, port, ...tls }) : connect({ host, port });
  await new Promise<void>((resolve, reject) => {
    socket.once(tls ? 'secureConnect' : 'connect', () => resolve());
    socket.once('error', reject);
  });
  let received = '';
  const waiting: string[][] = [];
  let isClosed = false;
  const changed = new Set<() => void>();
  const tell = (): void => {
    for (const listener of changed) listener();
  };
  socket.on('error', () => undefined);
  socket.on('close', () => {
    isClosed = true;
    tell();
  });
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
    for (let end = received.indexOf(END); end >= 0; end = received.indexOf(END)) {
      waiting.push(
        received
          .slice(received.indexOf(VT) + 1, end)
          .split('\r')
          .filter(Boolean),
      );
      received = received.slice(end + END.length);
    }
    tell();
  });
  const until = (isDone: () => boolean, withinMs: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => stop(new Error('no answer in time')), withinMs);
      const stop = (error?: Error): void => {
        clearTimeout(timer);
        changed.delete(look);
        if (error) reject(error);
        else resolve();
      };
      const look = (): void => {
        if (isDone()) stop();
        else if (isClosed) stop(new Error('the connection was closed'));
      };
      changed.add(look);
      look();
    });
  const answers = async (count: number, withinMs = 60_000): Promise<string[][]> => {
    await until(() => waiting.length >= count, withinMs);
    return waiting.splice(0, count);
  };
  const write = (bytes: string | Buffer): void => void socket.write(bytes);
  return {
    socket,
    write,
    answers,
    send: (message, count = 1) => {
      write(Buffer.concat([Buffer.from(VT), Buffer.from(message), Buffer.from(END)]));
      return answers(count);
    },
    closed: () => new Promise((resolve) => (isClosed ? resolve() : socket.once('close', () => resolve()))),
    end: () => void socket.destroy(),
  };
}

let controlId = 0;

/** A message of the segments given; `MSH` is made of its type and what else is said. */
export function hl7(type: string, segments: readonly string[], header: Record<number, string> = {}): string {
  const fields: Record<number, string> = {
    2: '^~\\&',
    3: 'HIS',
    4: 'EAST',
    5: 'HUB',
    7: '20260701120000+0800',
    9: type,
    10: `M${++controlId}`,
    11: 'P',
    12: '2.5.1',
    18: 'UNICODE UTF-8',
    ...header,
  };
  const last = Math.max(...Object.keys(fields).map(Number));
  const msh = ['MSH', ...Array.from({ length: last - 1 }, (_, i) => fields[i + 2] ?? '')].join('|');
  return `${[msh, ...segments].join('\r')}\r`;
}

/** A segment of fields by their number. */
export function segment(name: string, fields: Record<number, string>): string {
  const last = Math.max(...Object.keys(fields).map(Number));
  return [name, ...Array.from({ length: last }, (_, i) => fields[i + 1] ?? '')].join('|');
}

/** PID of a number, and what else is said by field. */
export const pid = (number: string, more: Record<number, string> = {}): string =>
  segment('PID', { 3: number, 5: '王^小东', 7: '19680312', 8: 'M', ...more });

/** MSA-1 of an answer. */
export const codeOf = (answer: readonly string[]): string => (answer.find((s) => s.startsWith('MSA')) ?? '').split('|')[1] ?? '';
