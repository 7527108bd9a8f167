import type { Request, Server } from '@hapi/hapi';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { scopeAllows } from '../access/authentication/scopes.js';
import { requestContext } from '../access/authentication/request-context.js';
import type { Action, Caller } from '../access/caller.js';
import type { Access } from '../access/access.js';
import type { Decision, RequestAccess, RowWithEvidence } from '../access/decision.js';
import { findRow } from '../access/find-row.js';
import { signaturesBehind } from '../access/agreements/agreements.js';
import { agentOf } from '../access/write-request.js';
import type { Audit } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { forbidden, notFound, type Refusal } from '../outcomes.js';
import type { Database, Queryable } from '../store/database.js';
import type { ResourceRow } from '../store/resources.js';
import { type ExplainQuestion, hypothesisOf, inShort, isAboutSelf, readQuestion, subjectOf } from './explain-question.js';
import type { components } from './openapi.generated.js';

type Explanation = components['schemas']['Explanation'];

export interface ExplainDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'trustedProxy'>;
}

/**
 * `POST /access/explain`: why may I, or may I not; and what if. It answers without touching the record, by who asks: the patient of the record, an auditor and
 * the custodian's administrator see rule, basis and evidence, and may ask about others and assume other facts; whoever else may know of the record learns a
 * reason class and what would change it; to anyone else the record does not exist. Each question is on record.
 */
export function registerExplain(server: Server, deps: ExplainDeps): void {
  server.route({ method: 'POST', path: '/access/explain', handler: (request) => explain(deps, request) });
}

async function explain(deps: ExplainDeps, request: Request): Promise<Explanation> {
  const caller = callerOfRequest(request);
  const asked = readQuestion(request.payload);
  const refusal = refusalOf(caller, asked);
  const asif = refusal ? caller : subjectOf(caller, asked);
  const { row, decision, part, signatures } = refusal ? {} : await decide(deps, caller, asif, asked);
  await deps.audit.commit([
    {
      ...agentOf(caller, requestContext(request, deps.config)),
      type: 'access',
      subtype: 'explain',
      action: 'R',
      outcome: decision ? 0 : 4,
      entity: [asked.resource],
      patientId: row?.patient_id,
      custodianId: row?.custodian_id,
      // what is not there looks to the asker's administrator like what he may not know of
      concealed: !refusal && !decision,
      detail: inShort(caller, asif, asked),
    },
  ]);
  if (refusal) throw refusal;
  if (!row || !decision) throw notFound();
  return {
    ...explanation(decision, seesAll(caller, row)),
    ...(asif === caller ? {} : { subject: described(asif) }),
    ...(part ? { part } : {}),
    ...(signatures?.length ? { signatures } : {}),
  };
}

interface Answer {
  row?: ResourceRow;
  /** Absent when whoever asks may not know of the record, or not ask this about it. */
  decision?: Decision;
  /** Allowed for some series of the study. */
  part?: true;
  /** Who put in force what the decision rests on, for those who see evidence. */
  signatures?: Explanation['signatures'];
}

/** The record, if there is one, and the decision for the subject asked about. */
async function decide(deps: ExplainDeps, caller: Caller, asif: Caller, asked: ExplainQuestion): Promise<Answer> {
  const [type = '', id = ''] = asked.resource.split('/');
  return deps.db.snapshot(async (tx) => {
    const own = await deps.access.forCaller(tx, caller);
    const row = await findRow(tx, own, type, id);
    if (!row || !(asksAboutAll(caller) || own.decide('know', row).allowed)) return { row };
    if (isAboutSelf(caller, asked) && asif.purposeOfUse === caller.purposeOfUse)
      return signed(tx, caller, row, decidedBy(own, asked.action, row));
    if (!isAboutSelf(caller, asked) && !seesAll(caller, row)) return { row };
    const hypothesis = hypothesisOf(asked, row);
    const other = await deps.access.forCaller(tx, asif);
    const decider = hypothesis ? await deps.access.whatIf(tx, asif, hypothesis) : other;
    const otherRow = await findRow(tx, other, type, id);
    return otherRow ? signed(tx, caller, row, decidedBy(decider, asked.action, otherRow)) : { row };
  });
}

/** What may not be read as a whole may be open in part. */
function decidedBy(
  access: Pick<RequestAccess, 'decide'>,
  action: Action,
  row: RowWithEvidence,
): Pick<Answer, 'decision' | 'part'> {
  const decision = access.decide(action, row);
  if (decision.allowed || (action !== 'read' && action !== 'retrieve')) return { decision };
  const part = access.decide('read-part', row);
  return part.allowed ? { decision: part, part: true } : { decision };
}

async function signed(
  tx: Queryable,
  caller: Caller,
  row: ResourceRow,
  { decision, part }: Pick<Answer, 'decision' | 'part'>,
): Promise<Answer> {
  const rows = seesAll(caller, row) ? await signaturesBehind(tx, decision?.evidence ?? [], row.custodian_id) : [];
  const signatures = rows.map((s) => ({
    agreement: s.agreement_id,
    organization: s.organization_id,
    signer: s.signer,
    signedAt: s.signed_at.toISOString(),
  }));
  return { row, decision, part, signatures };
}

/** The token must reach the kind of record; about others only those may ask who oversee access or whose record it may be. */
function refusalOf(caller: Caller, asked: ExplainQuestion): Refusal | undefined {
  const [type = ''] = asked.resource.split('/');
  if (!scopeAllows(caller.scope, type, 'r')) return forbidden(`The token's scope does not cover ${type}.`);
  const mayAsk = asksAboutAll(caller) || ['patient', 'hospital-administrator'].includes(caller.role);
  return isAboutSelf(caller, asked) || mayAsk ? undefined : forbidden('You may ask about yourself only.');
}

/** An auditor asks about every record, and learns of the decision alone. */
const asksAboutAll = (caller: Caller): boolean => caller.role === 'auditor' && caller.purposeOfUse === 'HCOMPL';

/** Whose record it is: she, who may know of nobody else's, and the administrator of the hospital that holds it. */
function seesAll(caller: Caller, row: ResourceRow): boolean {
  const ofCustodian = caller.role === 'hospital-administrator' && caller.organizationId === row.custodian_id;
  return asksAboutAll(caller) || (caller.role === 'patient' && row.patient_id !== '') || ofCustodian;
}

function explanation(decision: Decision, withAll: boolean): Explanation {
  const evidence = withAll || decision.allowed ? { rule: decision.rule, evidence: decision.evidence } : {};
  if (decision.allowed) return { allowed: true, ...(decision.basis ? { basis: decision.basis } : {}), ...evidence };
  return { allowed: false, reason: decision.reason ?? 'no-basis', wouldChange: decision.wouldChange ?? [], ...evidence };
}

const described = ({ organizationId, practitionerId, role, purposeOfUse }: Caller): Explanation['subject'] => ({
  ...(organizationId ? { organization: organizationId } : {}),
  ...(practitionerId ? { practitioner: practitionerId } : {}),
  role,
  purpose: purposeOfUse,
});
