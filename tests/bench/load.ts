import { readFileSync } from 'node:fs';
import { Agent, type Dispatcher } from 'undici';

/** What a run of a load came to. */
export interface Measured {
  perSecond: number;
  p50: number;
  p99: number;
  count: number;
}

/** Runs `one` on `concurrency` lanes for about `seconds`, and stops by itself. The first tenth warms up and does not count. */
export async function measure(one: (i: number) => Promise<void>, { concurrency = 16, seconds = 4 } = {}): Promise<Measured> {
  const start = performance.now();
  const from = start + seconds * 100;
  const until = from + seconds * 1000;
  const times: number[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() < until) {
      const began = performance.now();
      await one(next++);
      const ended = performance.now();
      if (began >= from && ended <= until) times.push(ended - began);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  times.sort((a, b) => a - b);
  const at = (q: number): number => times[Math.min(times.length - 1, Math.floor(times.length * q))] ?? Number.NaN;
  return { perSecond: times.length / seconds, p50: at(0.5), p99: at(0.99), count: times.length };
}

/** A keep-alive client for one server. @throws when an answer is not of the expected status: a failing server is not a fast one. */
export function httpClient(origin: string, headers: Record<string, string>) {
  const agent = new Agent({ connections: 16, pipelining: 1 });
  return {
    async call(method: Dispatcher.HttpMethod, path: string, expected: number, body?: string): Promise<string> {
      const answer = await agent.request({ origin, method, path, headers, body });
      const text = await answer.body.text();
      if (answer.statusCode !== expected) throw new Error(`${method} ${path}: ${answer.statusCode} ${text.slice(0, 400)}`);
      return text;
    },
    close: () => agent.close(),
  };
}

/** Seconds of CPU that a process has used (proc(5), utime and stime, 100 ticks a second). */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
