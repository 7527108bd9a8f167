import {
  type Answer,
  type HostilePacs,
  json,
  metadata,
  paged,
  seriesEntry,
  startHostilePacs,
  studyEntry,
} from '../../connectors/support/hostile-pacs.js';

/** A PACS that speaks QIDO-RS and WADO-RS, whose objects come, change and go; any of its answers can be made wrong. */
export interface ArchivePacs {
  url: string;
  asked: string[];
  /** Keeps an instance, in the place of one of the same UID. `more` are elements of its metadata. */
  put(study: number, instance: number, more?: object): void;
  /** Deletes an instance, or a study. */
  discard(study: number, instance?: number): void;
  /** Instances of each study. */
  holds(): Record<string, string[]>;
  /** Gives a wrong answer at a path from now on; without `answer` the right one again. */
  lie(path: string, answer?: Answer): void;
  stop(): Promise<void>;
  restart(): Promise<void>;
}

export const uidOf = (study: number, instance?: number): string =>
  `2.25.7.${study}${instance === undefined ? '' : `.1.${instance}`}`;

export async function startArchivePacs(): Promise<ArchivePacs> {
  const studies = new Map<number, Map<number, object>>();
  const lies = new Map<string, Answer>();
  const answers: Record<string, Answer> = {};
  let server: HostilePacs = await startHostilePacs(answers);
  const port = Number(new URL(server.url).port);
  const state = { asked: server.asked };

  const rebuild = (): void => {
    for (const key of Object.keys(answers)) delete answers[key];
    answers.studies = listing(() => [...studies].map(([study, instances]) => studyEntry(uidOf(study), instances.size)));
    for (const [study, instances] of studies) {
      const uid = uidOf(study);
      const all = [...instances].map(([instance, more]) => metadata(uid, `${uid}.1`, uidOf(study, instance), more));
      answers[`studies/${uid}/series`] = paged([seriesEntry(`${uid}.1`)]);
      answers[`studies/${uid}/series/${uid}.1/metadata`] = json(all);
      for (const [i, instance] of [...instances.keys()].entries())
        answers[`studies/${uid}/series/${uid}.1/instances/${uidOf(study, instance)}/metadata`] = json([all[i]]);
    }
    for (const [path, answer] of lies) answers[path] = answer;
  };
  rebuild();
  return {
    url: server.url,
    get asked() {
      return state.asked;
    },
    put(study, instance, more = {}) {
      studies.set(study, (studies.get(study) ?? new Map()).set(instance, more));
      rebuild();
    },
    discard(study, instance) {
      const instances = studies.get(study);
      if (instance !== undefined) instances?.delete(instance);
      if (instance === undefined || instances?.size === 0) studies.delete(study);
      rebuild();
    },
    holds: () =>
      Object.fromEntries([...studies].map(([study, all]) => [uidOf(study), [...all.keys()].map((i) => uidOf(study, i)).sort()])),
    lie(path, answer) {
      if (answer) lies.set(path, answer);
      else lies.delete(path);
      rebuild();
    },
    stop: () => server.stop(),
    async restart() {
      server = await startHostilePacs(answers, port);
      state.asked = server.asked;
    },
  };
}

/** Studies, by UID where that is asked for; dates are not looked at. */
const listing =
  (entries: () => ReturnType<typeof studyEntry>[]): Answer =>
  (request, response) => {
    const asked = new URL(request.url ?? '', 'http://x').searchParams.get('StudyInstanceUID');
    const uid = (entry: ReturnType<typeof studyEntry>): unknown => entry['0020000D'].Value[0];
    paged(entries().filter((entry) => asked === null || uid(entry) === asked))(request, response);
  };
