import type { Request, Server } from '@hapi/hapi';
import { z } from 'zod';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { PURPOSES_OF_ROLE } from '../access/authentication/purposes-of-role.js';
import { scopeAllows } from '../access/authentication/scopes.js';
import { requestContext } from '../access/authentication/request-context.js';
import { type Action, type Caller, PURPOSES, type Purpose, ROLES, type Role } from '../access/caller.js';
import type { Access, Decision } from '../access/decision.js';
import { findRow } from '../access/find-row.js';
import { signaturesBehind } from '../access/policy/agreements.js';
import { agentOf } from '../access/write-request.js';
import type { Audit } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { forbidden, invalid, notFound, type Refusal } from '../outcomes.js';
import type { Database, Queryable } from '../store/database.js';
import type { ResourceRow } from '../store/resources.js';
import type { components } from './openapi.generated.js';

type Explanation = components['schemas']['Explanation'];

export interface ExplainDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy'>;
}

const question = z.strictObject({
  resource: z.string().regex(/^[A-Za-z]{1,64}\/[A-Za-z0-9\-.]{1,64}$/),
  action: z.enum(['know', 'read', 'retrieve', 'write', 'score', 'disclose']),
  subject: z
    .strictObject({
      organization: z
        .string()
        .regex(/^[A-Za-z0-9\-.]{1,64}$/)
        .optional(),
      role: z.enum(ROLES).optional(),
      purpose: z.enum(PURPOSES).optional(),
    })
    .optional(),
});

/**
 * `POST /access/explain`: why may I, or may I not; and what if I acted for another purpose. Answers without touching the record. A record that the
 * caller may not know of is answered like one that does not exist; evidence is for the custodian's administrator and the auditor.
 */
export function registerExplain(server: Server, deps: ExplainDeps): void {
  server.route({ method: 'POST', path: '/access/explain', handler: (request) => explain(deps, request) });
}

async function explain(deps: ExplainDeps, request: Request): Promise<Explanation> {
  const caller = callerOfRequest(request);
  const asked = question.safeParse(request.payload);
  if (!asked.success)
    throw invalid(asked.error.issues[0]?.message ?? 'not a question', asked.error.issues[0]?.path.join('.') || undefined);
  const { resource, action, subject } = asked.data;
  const refusal = refusalOf(caller, resource, subject);
  const asif = refusal ? caller : subjectOf(caller, subject);
  const { row, decision, signatures } = refusal ? {} : await decide(deps, caller, asif, action, resource);
  await deps.audit.commit([
    {
      ...agentOf(caller, requestContext(request, deps.config)),
      type: 'access',
      subtype: 'explain',
      action: 'R',
      outcome: decision ? 0 : 4,
      entity: [resource],
      patientId: row?.patient_id,
      custodianId: row?.custodian_id,
      concealed: row && !decision,
      detail: asif === caller ? action : `${action} as ${asif.role} of ${asif.organizationId} for ${asif.purposeOfUse}`,
    },
  ]);
  if (refusal) throw refusal;
  if (!row || !decision) throw notFound();
  const explained = explanation(decision, seesEvidence(caller, row));
  return signatures?.length ? { ...explained, signatures } : explained;
}

/** The record, if there is one, and the decision for the subject asked about, if whoever asks may know of the record. */
async function decide(
  deps: ExplainDeps,
  caller: Caller,
  asif: Caller,
  action: Action,
  resource: string,
): Promise<{ row?: ResourceRow; decision?: Decision; signatures?: Explanation['signatures'] }> {
  const [type = '', id = ''] = resource.split('/');
  return deps.db.snapshot(async (tx) => {
    const own = await deps.access.forCaller(tx, caller);
    const row = await findRow(tx, own, type, id);
    if (!row || !(mayAskAbout(caller) || own.decide('know', row).allowed)) return { row };
    if (asif === caller) return signed(tx, caller, row, own.decide(action, row));
    const other = await deps.access.forCaller(tx, asif);
    const otherRow = await findRow(tx, other, type, id);
    return otherRow ? signed(tx, caller, row, other.decide(action, otherRow)) : { row };
  });
}

/** The decision with who put in force what it rests on, for those who see evidence. */
async function signed(
  tx: Queryable,
  caller: Caller,
  row: ResourceRow,
  decision: Decision,
): Promise<{ row: ResourceRow; decision: Decision; signatures: NonNullable<Explanation['signatures']> }> {
  const rows = seesEvidence(caller, row) ? await signaturesBehind(tx, decision.evidence, row.custodian_id) : [];
  const signatures = rows.map((s) => ({
    agreement: s.agreement_id,
    organization: s.organization_id,
    signer: s.signer,
    signedAt: s.signed_at.toISOString(),
  }));
  return { row, decision, signatures };
}

type Subject = z.infer<typeof question>['subject'];

/** The token must reach the kind of record; about other people only those may ask who oversee access. */
function refusalOf(caller: Caller, resource: string, subject: Subject): Refusal | undefined {
  const [type = ''] = resource.split('/');
  if (!scopeAllows(caller.scope, type, 'r')) return forbidden(`The token's scope does not cover ${type}.`);
  return isAboutSelf(caller, subject) || mayAskAbout(caller) ? undefined : forbidden('You may ask about yourself only.');
}

const isAboutSelf = (caller: Caller, subject: Subject): boolean =>
  (subject?.role ?? caller.role) === caller.role && (subject?.organization ?? caller.organizationId) === caller.organizationId;

/** Who is asked about: oneself, for another purpose perhaps, or somebody of that role at that organization. */
function subjectOf(caller: Caller, subject: Subject): Caller {
  if (!subject) return caller;
  const role: Role = subject.role ?? caller.role;
  const organizationId = subject.organization ?? caller.organizationId;
  const purposeOfUse: Purpose = subject.purpose ?? caller.purposeOfUse;
  if (!PURPOSES_OF_ROLE[role].includes(purposeOfUse))
    throw invalid(`The role ${role} does not act for ${purposeOfUse}.`, 'subject.purpose');
  return isAboutSelf(caller, subject)
    ? { ...caller, purposeOfUse }
    : { ...caller, id: 'Account/what-if', role, organizationId, purposeOfUse, patientId: undefined, practitionerId: undefined };
}

const mayAskAbout = (caller: Caller): boolean => caller.role === 'auditor' && caller.purposeOfUse === 'HCOMPL';

function seesEvidence(caller: Caller, row: ResourceRow): boolean {
  const ofCustodian = caller.role === 'hospital-administrator' && caller.organizationId === row.custodian_id;
  return mayAskAbout(caller) || caller.role === 'patient' || ofCustodian;
}

function explanation(decision: Decision, withEvidence: boolean): Explanation {
  const evidence = withEvidence || decision.allowed ? { rule: decision.rule, evidence: decision.evidence } : {};
  if (decision.allowed) return { allowed: true, ...(decision.basis ? { basis: decision.basis } : {}), ...evidence };
  return { allowed: false, reason: decision.reason ?? 'no-basis', wouldChange: decision.wouldChange ?? [], ...evidence };
}
