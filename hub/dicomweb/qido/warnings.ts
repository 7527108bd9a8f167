import type { Found } from './search.js';

const MOST = 5;

/**
 * Warning headers of an answer: how many results it leaves over (PS3.18 section 8.3.4.4.1), and which studies of the patient or UID that was named are
 * withheld and why, as FHIR search tells it by an OperationOutcome.
 */
export function warningsOf(publicUrl: string, { remaining, withheld }: Pick<Found, 'remaining' | 'withheld'>): string[] {
  const agent = new URL(publicUrl).host;
  const texts = [
    ...(remaining === 0
      ? []
      : [`There are ${remaining === 'more' ? '' : `${remaining} `}additional results that can be requested`]),
    ...withheld.slice(0, MOST).map(({ issue }) => issue.diagnostics ?? ''),
    ...(withheld.length > MOST ? [`${withheld.length - MOST} more studies are withheld`] : []),
  ];
  return texts.map((text) => `299 ${agent} "${text.replace(/[^\x20-\x7e]|["\\]/g, ' ')}"`);
}
