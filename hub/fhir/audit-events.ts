import type { FhirDeps, FhirRequest, FhirResponse } from './exchange.js';
export const auditSearchParameters: object[] = [];
export async function auditEvents(_deps: FhirDeps, _request: FhirRequest): Promise<FhirResponse> {
  throw new Error('not yet');
}
