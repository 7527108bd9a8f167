import type { Request, Server } from '@hapi/hapi';
import { SignJWT } from 'jose';
import { z } from 'zod';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import { scopeAllows } from '../access/authentication/scopes.js';
import { loadSigningKey, SIGNING_ALGORITHM, type SigningKey } from '../access/authentication/signing-key.js';
import { type Caller, isAuditor } from '../access/caller.js';
import type { Access } from '../access/access.js';
import { findRow } from '../access/find-row.js';
import { signatoriesOf } from '../access/agreements/agreement-terms.js';
import {
  type AgreementSignature,
  type AgreementState,
  readAgreement,
  signAgreement,
  type Signing,
  withdrawAgreement,
} from '../access/agreements/agreements.js';
import { agentOf } from '../access/write-request.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import { type Config, secretsOf } from '../config.js';
import { forbidden, invalid, notFound, Refusal } from '../outcomes.js';
import type { Database, Queryable } from '../store/database.js';
import type { components } from './openapi.generated.js';

type Agreement = components['schemas']['Agreement'];

export interface AgreementsDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy' | 'publicUrl' | 'secret' | 'utcOffset'>;
}

/** `/access/agreements`: what hospitals have agreed on, signed and taken back by their own administrators. Everything asked and done is audited. */
export async function registerAgreements(server: Server, deps: AgreementsDeps): Promise<void> {
  const key = await loadSigningKey(deps.db, secretsOf(deps.config));
  const { utcOffset, publicUrl } = deps.config;
  const seal = (by: Caller, signing: Signing) => sealed(publicUrl, key, by, signing);
  const path = '/access/agreements/{id}';
  server.route([
    { method: 'GET', path, handler: (request) => step(deps, request, 'agreement-read', mayRead, async () => undefined) },
    {
      method: 'POST',
      path: `${path}/signature`,
      handler: (request) =>
        step(deps, request, 'agreement-sign', maySign, (tx, id, by) =>
          signAgreement({ utcOffset, audit: deps.audit, seal }, tx, { id, digest: digestIn(request) }, by),
        ),
    },
    {
      method: 'DELETE',
      path: `${path}/signature`,
      handler: (request) =>
        step(deps, request, 'agreement-withdraw', maySign, (tx, id, by) =>
          withdrawAgreement({ utcOffset, audit: deps.audit }, tx, id, by),
        ),
    },
  ]);
}

const ID = /^[A-Za-z0-9\-.]{1,64}$/;

type May = (deps: AgreementsDeps, tx: Queryable, caller: Caller, id: string) => Promise<boolean>;
type Work = (tx: Queryable, id: string, by: { caller: Caller; context: ReturnType<typeof requestContext> }) => Promise<void>;

/** One step: permitted, done, on record whatever came of it, then answered with how the agreement stands. */
async function step(deps: AgreementsDeps, request: Request, subtype: string, may: May, work: Work): Promise<Agreement> {
  const caller = callerOfRequest(request);
  const id = String(request.params['id']);
  if (!ID.test(id)) throw notFound();
  const entry = entryOf(deps, request, subtype, id);
  try {
    const state = await deps.db.transaction(async (tx) => {
      const known = await readAgreement(tx, id, deps.config.utcOffset);
      if (!(await may(deps, tx, caller, id)))
        throw forbidden(`This is for the administrators of ${known.row.parties.join(', ')}.`);
      await work(tx, id, { caller, context: requestContext(request, deps.config) });
      return readAgreement(tx, id, deps.config.utcOffset);
    });
    if (subtype === 'agreement-read') await deps.audit.commit([entry]);
    return toAgreement(state);
  } catch (error) {
    if (error instanceof Refusal && error.status < 500)
      await deps.audit.commit([{ ...entry, outcome: 4, detail: error.issues[0]?.code }]);
    throw error;
  }
}

/** A person signs, and policy says who: an administrator of a party. */
const maySign: May = async ({ access }, tx, caller, id) => {
  if (caller.kind !== 'person' || !scopeAllows(caller.scope, 'OrganizationAffiliation', 'u')) return false;
  const policy = await access.forCaller(tx, caller);
  const row = await findRow(tx, policy, 'OrganizationAffiliation', id);
  return row !== undefined && policy.decide('sign', row).allowed;
};

/** Who has signed is for the parties, the hub's administrators and auditors; that there is an agreement anybody may know. */
const mayRead: May = async ({ access }, tx, caller, id) => {
  if (!scopeAllows(caller.scope, 'OrganizationAffiliation', 'r')) return false;
  if (isAuditor(caller)) return true;
  const policy = await access.forCaller(tx, caller);
  const row = await findRow(tx, policy, 'OrganizationAffiliation', id);
  return row !== undefined && (policy.decide('sign', row).allowed || policy.decide('write', row).allowed);
};

const body = z.strictObject({ digest: z.string().regex(/^[0-9a-f]{64}$/) });

function digestIn(request: Request): string {
  const given = body.safeParse(request.payload);
  if (!given.success) throw invalid('The digest of the terms that were read is expected.', 'digest');
  return given.data.digest;
}

/** Verifiable without the hub, by its published key: who signed what for whom, and when. */
function sealed(issuer: string, key: SigningKey, by: Caller, signing: Signing): Promise<string> {
  const { id, signedAt, organization, version, terms, digest } = signing;
  return new SignJWT({
    agreement: `OrganizationAffiliation/${terms.agreement}`,
    version,
    terms,
    digest,
    organization: `Organization/${organization}`,
    name: by.name,
  })
    .setProtectedHeader({ alg: SIGNING_ALGORITHM, kid: key.kid, typ: 'agreement-signature+jwt' })
    .setIssuer(issuer)
    .setSubject(by.id)
    .setJti(id)
    .setIssuedAt(signedAt)
    .sign(key.privateKey);
}

const toAgreement = ({ row, terms, digest, inForce, signatures }: AgreementState): Agreement => ({
  version: row.version,
  terms,
  digest,
  inForce,
  signatories: signatoriesOf(terms),
  signatures: signatures.map(toSignature),
});

const toSignature = (s: AgreementSignature): Agreement['signatures'][number] => ({
  id: s.id,
  organization: s.organization_id,
  signer: s.signer,
  name: s.signer_name,
  digest: s.digest,
  signedAt: s.signed_at.toISOString(),
  jws: s.jws,
  ...(s.ended_at ? { endedAt: s.ended_at.toISOString(), endedBecause: s.ended_because ?? 'withdrawn' } : {}),
});

function entryOf(deps: AgreementsDeps, request: Request, subtype: string, id: string): AuditEntry {
  return {
    ...agentOf(callerOfRequest(request), requestContext(request, deps.config)),
    type: 'policy',
    subtype,
    action: subtype === 'agreement-read' ? 'R' : 'U',
    outcome: 0,
    entity: [`OrganizationAffiliation/${id}`],
  };
}
