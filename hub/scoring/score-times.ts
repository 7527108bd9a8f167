/** One attempt to score, as it ended. */
export interface ScoreTime {
  model: string;
  /** `scored`, or the code of the failure. */
  outcome: string;
  seconds: number;
}

/** How long attempts took in this process, for whoever counts them. */
export interface ScoreTimes {
  note(time: ScoreTime): void;
  onNote(count: (time: ScoreTime) => void): void;
}

export function createScoreTimes(): ScoreTimes {
  const counting: ((time: ScoreTime) => void)[] = [];
  return {
    note: (time) => {
      for (const count of counting) count(time);
    },
    onNote: (count) => void counting.push(count),
  };
}
