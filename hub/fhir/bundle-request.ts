import { invalid, outcome, Refusal, tooLarge, unprocessable } from '../outcomes.js';
import { dispatch } from './dispatch.js';
import type { FhirDeps, FhirRequest, FhirResponse } from './exchange.js';
import { type Entry, responseBundle, transaction } from './transaction.js';

/** FHIR batch and transaction: `POST [base]` (R4 3.1.0.11). */
export async function submitBundle(deps: FhirDeps, request: FhirRequest): Promise<FhirResponse> {
  const bundle = request.body as { resourceType?: string; type?: string; entry?: unknown };
  if (bundle.resourceType !== 'Bundle') throw invalid('A Bundle is expected.', 'resourceType');
  if (bundle.type !== 'batch' && bundle.type !== 'transaction')
    throw invalid('The Bundle must be a batch or a transaction.', 'Bundle.type');
  const given = bundle.entry ?? [];
  if (!Array.isArray(given)) throw invalid('Bundle.entry must be a list.', 'Bundle.entry');
  if (given.length > deps.config.maxBundleEntries)
    throw tooLarge(`At most ${deps.config.maxBundleEntries} entries are taken at once.`);
  return bundle.type === 'transaction'
    ? transaction(
        deps,
        request,
        given.map((e, i) => entryOf(request, e, i)),
      )
    : batch(deps, request, given);
}

/** Each entry stands alone: a bad one is answered with its outcome, the rest land. */
async function batch(deps: FhirDeps, request: FhirRequest, given: readonly unknown[]): Promise<FhirResponse> {
  const responses: FhirResponse[] = [];
  for (const [i, raw] of given.entries()) responses.push(await answered(() => dispatch(deps, entryOf(request, raw, i).request)));
  return { status: 200, body: responseBundle('batch-response', responses) };
}

async function answered(work: () => Promise<FhirResponse>): Promise<FhirResponse> {
  try {
    return await work();
  } catch (error) {
    // an outage is no answer to an entry: the batch stops, and what landed before it stays landed
    if (!(error instanceof Refusal) || error.status >= 500) throw error;
    return { status: error.status, body: JSON.stringify(outcome(error.issues)) };
  }
}

const METHODS = ['GET', 'POST', 'PUT'] as const;

function entryOf(bundle: FhirRequest, raw: unknown, index: number): Entry {
  const at = `Bundle.entry[${index}]`;
  const entry = raw as { fullUrl?: unknown; resource?: unknown; request?: Record<string, unknown> } | null;
  const asked = entry?.request;
  if (!entry || typeof asked !== 'object' || asked === null)
    throw unprocessable([
      { severity: 'error', code: 'required', diagnostics: 'Each entry needs a request.', expression: [`${at}.request`] },
    ]);
  const method = METHODS.find((m) => m === asked.method);
  if (!method) throw invalid('The method must be GET, POST or PUT.', `${at}.request.method`);
  const [, path = '', search = ''] = /^([^?]*)\??(.*)$/s.exec(String(asked.url ?? '')) ?? [];
  if (!/^[A-Za-z]+(\/[A-Za-z0-9\-._/]+)?$/.test(path))
    throw invalid('The url must be relative to the base.', `${at}.request.url`);
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  return {
    at,
    fullUrl: text(entry.fullUrl),
    request: {
      ...bundle,
      method,
      path: path.split('/'),
      query: [...new URLSearchParams(search)],
      ifMatch: text(asked.ifMatch),
      ifNoneExist: text(asked.ifNoneExist),
      ifNoneMatch: text(asked.ifNoneMatch),
      body: entry.resource,
    },
  };
}
