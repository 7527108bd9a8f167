import type { Server } from '@hapi/hapi';
import type { Logger } from 'pino';
import { createOutbound } from '../connectors/outbound.js';
import { standings } from './access/authentication/standing.js';
import { registerAuthentication } from './access/authentication/register-authentication.js';
import { createAccess } from './access/create-access.js';
import { takeShippedPolicy } from './access/epochs/shipped-policy.js';
import { watchPolicy } from './access/epochs/watch-policy.js';
import { consentWriter } from './access/consent/consents.js';
import { relatedPersonWriter } from './access/guardians/related-persons.js';
import { affiliationWriter, organizationWriter } from './access/agreements/registry-writers.js';
import type { ResourceWriter } from './access/write-request.js';
import { registerAgreements } from './api/agreements.js';
import { registerExceptionalAccess } from './api/exceptional-access/register.js';
import { registerAuditProof } from './api/audit-proof.js';
import { registerExplain } from './api/explain.js';
import { registerHealth } from './api/health.js';
import { registerIdentityLinks } from './api/identity-links.js';
import { registerPolicy } from './api/policy.js';
import { registerLaunch } from './api/launch.js';
import { registerNotices } from './api/notices.js';
import { registerQuarantine } from './api/quarantine.js';
import { guardRouteScopes } from './api/route-scopes.js';
import { registerReports } from './api/reports.js';
import { registerSourceChanged } from './api/source-changed.js';
import { type Sealer, startSealer } from './audit/proof/sealer.js';
import { type AuditWriter, openAudit } from './audit/record.js';
import type { Config } from './config.js';
import { every } from './every.js';
import { registerFrontPage } from './console/front-page.js';
import { registerQidoRs } from './dicomweb/qido-rs.js';
import { registerStowRs } from './dicomweb/stow-rs.js';
import { registerWadoRs } from './dicomweb/wado-rs.js';
import { createCursorSigner } from './fhir/cursor.js';
import type { FhirDeps } from './fhir/exchange.js';
import { registerFhir } from './fhir/register.js';
import { endCopies } from './delivery/ended-copies.js';
import { appointmentWriter, preparing } from './delivery/prefetch/appointment-writer.js';
import { prefetchDue } from './delivery/prefetch/prefetch.js';
import { deliveryTaskWriter } from './delivery/task-writer.js';
import { startDeliveryWorkers } from './delivery/worker.js';
import { moveStragglers } from './identity/move-records.js';
import { patientWriter } from './identity/patient-writer.js';
import { createPixelRoom } from './imaging/pixels/pixel-room.js';
import { imagingStudyWriter } from './ingest/imaging-study-writer.js';
import { createStepCounts } from './ingest/step-counts.js';
import { linkMissed } from './ingest/statements/awaited-studies.js';
import type { RecordDeps } from './ingest/statements/taking.js';
import { type Sources, startSources } from './ingest/watch-sources.js';
import { clinicalWriter } from './referral/clinical-writer.js';
import { consultation } from './referral/consultation.js';
import { closeOverdue, createGrantReevaluation } from './referral/overdue.js';
import { referralWriter } from './referral/referral-writer.js';
import { release } from './referral/release.js';
import { serviceRequestWriter } from './referral/service-request-writer.js';
import { createTaskWriter } from './referral/task-writer.js';
import type { Models } from './scoring/models.js';
import { withdrawScoring } from './scoring/withdraw-jobs.js';
import { type OpenScoring, openScoring, registerScoring, startScoring } from './compose.scoring.js';
import { createHttpServer } from './server.js';
import { withoutData } from './log.js';
import type { Database } from './store/database.js';
import { setRegionOffset } from './store/fhir-date.js';

export interface Hub {
  server: Server;
  db: Database;
  audit: AuditWriter;
  sealer: Sealer;
  sources: Sources;
  models: Models;
  fhir: FhirDeps;
  /** Stops taking work, lets running requests and jobs end, closes everything. Safe to call twice. */
  stop(): Promise<void>;
}

export interface HubOptions {
  log: Logger;
  db: Database;
  /** Address of the database: the audit commits on a connection of its own. */
  databaseUrl: string;
  /** Registers what only this start has (the demonstration's identity provider). */
  extend?: (server: Server) => Promise<void>;
}

/** Puts the hub together: policy and audit first, then who is calling, what is offered, and the work behind it. Nothing listens yet. */
export async function composeHub(config: Config, { db, databaseUrl, extend, ...options }: HubOptions): Promise<Hub> {
  const log = withoutData(options.log);
  setRegionOffset(config.utcOffset);
  const audit = await openAudit(db, databaseUrl, { onFailure: (err) => log.error({ err }, 'audit not written') });
  const sealer = await startSealer(db, config, log);
  const shipped = await takeShippedPolicy(db, (tx, entries) => audit.append(tx, entries), config.demo);
  if (shipped.lacks.length > 0)
    log.warn(
      { epoch: shipped.epoch, lacks: shipped.lacks },
      'the policy in force lacks rules that came with the program: what they allow is refused until they are published (hub policy status, hub policy upgrade)',
    );
  else if (!shipped.inForce)
    log.warn({ epoch: shipped.epoch }, 'the policy in force is not the one that came with the program (hub policy diff)');
  const access = await createAccess(config, { onFailure: (err) => log.error({ err }, 'a decision failed and was a denial') });
  const prepare = (): void =>
    void access.prepare(db).catch((err) => log.error({ err }, 'the policy in force is not enforceable here'));
  const policyWatch = watchPolicy(databaseUrl, prepare);
  const outbound = createOutbound({ allowedNetworks: config.outboundNetworks, allowedHosts: config.outboundHosts });
  const scoringDeps = { db, databaseUrl, config, audit, access, log };
  const scoring = await openScoring(scoringDeps);
  const { models, scheduleAutomatic } = scoring;
  const writers = writersOf(config, audit, scoring);
  const steps = createStepCounts();
  const records: RecordDeps = { access, writers, reevaluateGrants: createGrantReevaluation(audit) };
  const sources = startSources({
    db,
    audit,
    config,
    outbound,
    log,
    records,
    steps,
    scheduleAutomatic,
    withdrawJobs: withdrawScoring,
  });
  const scores = startScoring(scoringDeps, scoring, sources.connectorFor);
  const room = createPixelRoom({
    processes: config.pixelProcesses,
    memoryBytes: config.pixelMemory * 2 ** 20,
    timeoutMs: config.pixelTimeout * 1000,
  });
  const deliveries = startDeliveryWorkers({
    db,
    access,
    audit,
    config,
    log,
    standings: standings(db),
    connectorFor: sources.connectorFor,
    count: config.deliveryWorkers,
  });
  const cursors = createCursorSigner(config.secret);
  const fhir: FhirDeps = {
    db,
    access,
    audit,
    config,
    cursors,
    writers,
  };

  const server = createHttpServer(config, log);
  const issueToken = await registerAuthentication(server, { config, db, audit, log });
  guardRouteScopes(server, { audit, config });
  registerFrontPage(server, { db, config, models });
  registerHealth(server, { db, audit, access, steps, walls: scoring.walls, times: scoring.times });
  registerFhir(server, fhir);
  registerQidoRs(server, { db, access, audit, config });
  registerStowRs(server, {
    db,
    access,
    audit,
    config,
    connectorFor: sources.connectorFor,
    scheduleAutomatic,
    onDefect: (code) => log.error({ code }, 'a pushed study could not be stored'),
  });
  registerWadoRs(server, { db, access, audit, config, connectorFor: sources.connectorFor, room });
  registerExplain(server, { db, access, audit, config });
  registerExceptionalAccess(server, { db, access, audit, config, issueToken });
  await registerAgreements(server, { db, access, audit, config });
  registerPolicy(server, { db, access, audit, config });
  registerLaunch(server, { db, access, audit, config });
  registerNotices(server, { db, access, audit, config });
  registerSourceChanged(server, { audit, config, sources });
  registerQuarantine(server, { db, access, audit, config, sources, records });
  registerIdentityLinks(server, { db, access, audit, config });
  registerAuditProof(server, { db, access, audit, config, sealer });
  registerReports(server, { db, access, audit, config });
  registerScoring(server, scoringDeps, fhir, scoring, scores);
  await extend?.(server);

  const overdue = every(
    60_000,
    () => closeOverdue(db, audit),
    (err) => log.error({ err }, 'overdue referrals not closed'),
  );
  const prefetch = every(
    2_000,
    () => prefetchDue({ db, access, audit }),
    (err) => log.error({ err }, 'appointments not prepared for'),
  );
  const copies = every(
    config.copyCheckSeconds * 1000,
    () => endCopies({ db, access, audit }, config.copyCheckSeconds),
    (err) => log.error({ err }, 'delivered copies not looked at'),
  );
  const late = every(
    60_000,
    async () => [await moveStragglers(db, audit), await linkMissed(db)],
    (err) => log.error({ err }, 'what came late is not filed'),
  );
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    clearInterval(overdue);
    clearInterval(copies);
    clearInterval(prefetch);
    clearInterval(late);
    await server.stop({ timeout: 10_000 });
    await Promise.all([sources.stop(), scores.stop(), deliveries.stop(), policyWatch.close()]);
    await scores.close();
    await audit.close();
    await sealer.stop();
    room.close();
    await outbound.close();
  };
  return { server, db, audit, sealer, sources, models, fhir, stop: () => (stopped ??= stop()) };
}

/** Who writes what: the domain's rules by resource type. */
function writersOf(config: Config, audit: AuditWriter, scoring: OpenScoring): Record<string, ResourceWriter> {
  return {
    Organization: organizationWriter({ utcOffset: config.utcOffset, audit }),
    OrganizationAffiliation: affiliationWriter({ utcOffset: config.utcOffset, audit }),
    Patient: patientWriter({ audit, reevaluateGrants: createGrantReevaluation(audit) }),
    ImagingStudy: imagingStudyWriter,
    Consent: consentWriter(config.utcOffset, config.ageOfMajority),
    RelatedPerson: relatedPersonWriter(config.utcOffset),
    DiagnosticReport: scoring.scored(clinicalWriter),
    Observation: clinicalWriter,
    ServiceRequest: preparing(serviceRequestWriter, audit),
    Appointment: preparing(appointmentWriter, audit),
    Task: createTaskWriter({
      'consultation-request': referralWriter(consultation, audit),
      'release-request': referralWriter(release, audit),
      'scoring-request': scoring.taskWriter,
      'delivery-request': deliveryTaskWriter(audit),
    }),
  };
}
