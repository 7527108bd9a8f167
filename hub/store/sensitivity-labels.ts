/** A sensitivity label as it stands in meta.security. */
export interface Coding {
  system?: string;
  code?: string;
  display?: string;
}

export const isAmong = (label: Coding, labels: readonly Coding[]): boolean =>
  labels.some(({ system, code }) => (system ?? '') === (label.system ?? '') && code === label.code);

/** What a record has, and what is given that it has not: what a source says never takes a label away. */
export const joinedLabels = (before: readonly Coding[], given: readonly Coding[]): Coding[] => [
  ...before,
  ...given.filter((label) => !isAmong(label, before)),
];
