import { Client } from 'fhir-kit-client';
import { SourceError } from '../connector.js';
import type { SourceClient } from '../dicomweb/source-client.js';

/**
 * fhir-kit-client whose requests go by the hub's own way out: its address policy, limits, credentials and time-outs hold, redirects are not followed, and
 * nothing outside the server's base is asked, wherever a link leads.
 */
export function createFhirClient(baseUrl: string, http: SourceClient, signal: AbortSignal): Client {
  const base = baseUrl.replace(/\/+$/, '');
  const client = new Client({ baseUrl: base });
  const { httpClient } = client;
  const request = async (method: string, requestUrl: string): Promise<unknown> => {
    const address = httpClient.expandUrl(requestUrl);
    if (method !== 'GET' || !isBelow(base, address))
      throw new SourceError('bad-response', 'The source leads to an address that is not its own.');
    return http.json(new URL(address), 'application/fhir+json', signal);
  };
  httpClient.request = request as typeof httpClient.request;
  return client;
}

/** The same origin, and the base's path or one below it. */
export function isBelow(base: string, address: string): boolean {
  if (!URL.canParse(address)) return false;
  const [root, url] = [new URL(base), new URL(address)];
  const path = root.pathname.replace(/\/+$/, '');
  return (
    url.origin === root.origin &&
    url.username === '' &&
    (url.pathname === path || url.pathname.startsWith(`${path}/`) || path === '')
  );
}
