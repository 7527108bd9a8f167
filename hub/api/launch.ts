import type { Request, ResponseObject, ResponseToolkit, Server } from '@hapi/hapi';
import { z } from 'zod';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { accountOf, openLaunch } from '../access/authentication/launch-context.sql.js';
import { requestContext } from '../access/authentication/request-context.js';
import type { Access } from '../access/access.js';
import type { Caller } from '../access/caller.js';
import { findRow } from '../access/find-row.js';
import { agentOf, decidedBy } from '../access/write-request.js';
import { refused } from '../access/write-rules.js';
import type { Audit, AuditEntry } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { findByIdentifier } from '../identity/find-by-identifier.js';
import { forbidden, Refusal } from '../outcomes.js';
import type { Database, Queryable } from '../store/database.js';
import { asked, text } from './asked.js';
import type { components } from './openapi.generated.js';

type Launch = components['schemas']['Launch'];

export interface LaunchDeps {
  db: Database;
  access: Access;
  audit: Audit;
  config: Pick<Config, 'publicUrl' | 'trustedProxy' | 'launchSeconds' | 'oidcIssuer'>;
}

const launch = z.strictObject({
  patient: z.strictObject({ identifier: z.strictObject({ system: text(1, 200), value: text(1, 256) }) }),
  user: z.strictObject({ subject: text(1, 255), issuer: text(1, 500).optional() }),
});

/**
 * `POST /launch`: a hospital's system opens a patient for one of its people (SMART App Launch 2, EHR launch). What it gets is put into an address, says
 * nothing, and works once, within minutes, for that person alone.
 */
export function registerLaunch(server: Server, deps: LaunchDeps): void {
  server.route({ method: 'POST', path: '/launch', handler: (request, h) => open(deps, request, h) });
}

async function open(deps: LaunchDeps, request: Request, h: ResponseToolkit): Promise<ResponseObject> {
  const caller = callerOfRequest(request);
  const entry = {
    ...agentOf(caller, requestContext(request, deps.config)),
    type: 'access',
    subtype: 'launch',
    action: 'E',
  } as const;
  if (caller.role !== 'hospital-system') {
    await deps.audit.commit([{ ...entry, outcome: 4, detail: 'role' }]);
    throw forbidden('Contexts are opened by the systems of hospitals.');
  }
  const { patient, user } = asked(launch, request.payload);
  const { launchSeconds, publicUrl, oidcIssuer } = deps.config;
  const opened = deps.db.transaction(async (tx) => {
    const { patientId, ...decided } = await ownPatient(tx, deps, caller, patient.identifier);
    const accountId = await accountOf(tx, caller.organizationId, user.issuer ?? oidcIssuer ?? '', user.subject);
    if (!accountId) throw refused('There is no such person at your hospital.', 'user');
    const { organizationId } = caller;
    const about: AuditEntry = {
      ...entry,
      ...decided,
      outcome: 0,
      patientId,
      custodianId: organizationId,
      entity: [`Account/${accountId}`],
    };
    await deps.audit.append(tx, [about]);
    return openLaunch(tx, { organizationId, patientId, accountId }, launchSeconds);
  });
  const token = await opened.catch(async (error: unknown) => {
    if (error instanceof Refusal) await deps.audit.commit([{ ...entry, outcome: 4, detail: 'no such patient or person' }]);
    throw error;
  });
  const iss = `${publicUrl}/fhir`;
  const url = `${publicUrl}/?${new URLSearchParams({ iss, launch: token })}`;
  const body: Launch = { launch: token, iss, url, expiresIn: launchSeconds };
  return h.response(body).code(201).header('cache-control', 'no-store');
}

/** The hospital's own Patient of this number, as its system may read it. @throws Refusal 422 */
async function ownPatient(
  tx: Queryable,
  { access }: LaunchDeps,
  caller: Caller,
  identifier: { system: string; value: string },
): Promise<{ patientId: string } & ReturnType<typeof decidedBy>> {
  const policy = await access.forCaller(tx, caller);
  for (const id of await findByIdentifier(tx, identifier)) {
    const row = await findRow(tx, policy, 'Patient', id);
    const decision = row && policy.decide('read', row);
    if (row?.custodian_id === caller.organizationId && decision?.allowed) return { patientId: id, ...decidedBy(decision) };
  }
  throw refused('Your hospital has no patient of this number.', 'patient.identifier');
}
