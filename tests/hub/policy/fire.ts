import { Agent } from 'undici';

/** One answered request, by the clock of the one who asked. */
export interface Shot {
  nonce: string;
  kind: 'read' | 'search';
  began: number;
  ended: number;
  status: number;
  /** The study was in the answer. */
  shown: boolean;
}

/** A state that holds from somewhere between `began` and `committed`, until the next one does. */
export interface State {
  began: number;
  committed: number;
  allows: boolean;
}

/** What is asked for, where, and as whom. */
export interface Target {
  origins: readonly string[];
  token: string;
  studyId: string;
}

/** Fires requests for one study at several hubs at once, reads and searches in turn, and keeps every answer. */
export class Fire {
  readonly shots: Shot[] = [];
  private readonly agents: Agent[];
  private count = 0;

  constructor(private readonly target: Target) {
    this.agents = target.origins.map(
      () => new Agent({ connections: 500, pipelining: 1, headersTimeout: 90_000, bodyTimeout: 90_000 }),
    );
  }

  /** So many requests, all begun before this returns. */
  wave(size: number): Promise<Shot[]> {
    return Promise.all(Array.from({ length: size }, () => this.shoot()));
  }

  async close(): Promise<void> {
    await Promise.all(this.agents.map((agent) => agent.destroy()));
  }

  private async shoot(): Promise<Shot> {
    const number = this.count++;
    const { origins, token, studyId } = this.target;
    const at = number % origins.length;
    const kind = number % 4 < 2 ? 'read' : 'search';
    const nonce = `n${number}`;
    const path = kind === 'read' ? `/fhir/ImagingStudy/${studyId}` : `/fhir/ImagingStudy?_id=${studyId}&nonce=${nonce}`;
    const began = performance.now();
    const { status, text } = await this.answer(at, path, token);
    const shown = status === 200 && text.includes(`"id":"${studyId}"`);
    const shot = { nonce, kind, began, ended: performance.now(), status, shown } as const;
    this.shots.push(shot);
    return shot;
  }

  /** Status 0: the connection broke. */
  private async answer(at: number, path: string, token: string): Promise<{ status: number; text: string }> {
    try {
      const answer = await this.agents[at]!.request({
        origin: this.target.origins[at]!,
        method: 'GET',
        path,
        headers: { authorization: `Bearer ${token}` },
      });
      return { status: answer.statusCode, text: await answer.body.text() };
    } catch {
      return { status: 0, text: '' };
    }
  }
}

/** Answers that showed the study although no state that was in force at any instant between question and answer allows it. */
export function wrongAllows(shots: readonly Shot[], states: readonly State[]): Shot[] {
  const allowed = states.flatMap((state, i) =>
    state.allows ? [{ from: state.began, until: states[i + 1]?.committed ?? Number.POSITIVE_INFINITY }] : [],
  );
  return shots.filter((shot) => shot.shown && !allowed.some(({ from, until }) => from <= shot.ended && shot.began <= until));
}
