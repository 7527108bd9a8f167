import { userInfo } from 'node:os';
import { createOutbound } from '../../connectors/outbound.js';
import type { Connector } from '../../connectors/connector.js';
import { insertEntries } from '../audit/insert-entries.sql.js';
import { type AuditEntry, COMMAND_LINE } from '../audit/vocabulary.js';
import type { Config } from '../config.js';
import { type OpenDeps, openSource, type SourceRecord } from '../ingest/open-source.js';
import { type ConnectorFor, retrieveSeries } from '../imaging/retrieve.js';
import { type Replay, replayScore } from '../scoring/replay/replay.js';
import { findScoreRecord, publishedReport, type ScoreRecord } from '../scoring/score-record.js';
import type { Database } from '../store/database.js';
import { findResource } from '../store/resources.js';
import { sql } from '../store/sql.js';
import { withDatabase } from './operate.js';

/**
 * `hub score replay ID`: makes a published score again from what its custodian has now. Says `equal`, or what differs; and what it was made with that is another
 * now. Exit status 1 when it is not equal.
 */
export async function replayPublished(given: string): Promise<void> {
  await withDatabase(async (db, config) => {
    const reportId = await publishedReport(db, given.replace(/^(DiagnosticReport|Provenance)\//, ''));
    const record = reportId === undefined ? undefined : await findScoreRecord(db, db, reportId);
    if (!record) throw new Error(`there is no published score ${given}`);
    await onRecord(db, record, 'replay-begin');
    const replay = await replayed(db, config, record);
    await onRecord(db, record, 'replay', replay);
    for (const line of replay.otherwise) console.log(`note   ${line}`);
    for (const line of replay.different) console.log(`DIFFERS  ${line}`);
    if (replay.equal) return console.log(`equal  DiagnosticReport/${record.reportId}`);
    process.exitCode = 1;
  });
}

async function replayed(db: Database, config: Config, record: ScoreRecord): Promise<Replay> {
  const outbound = createOutbound({ allowedNetworks: config.outboundNetworks, allowedHosts: config.outboundHosts });
  try {
    return await withSources(db, { config, outbound }, record.custodianId, (connectorFor) =>
      replayScore({ db, timeout: config.scoringTimeout, retrieve: retrieveSeries({ db, connectorFor }) }, record),
    );
  } finally {
    await outbound.close();
  }
}

/** Runs work with the sources of a hospital open; they are closed afterwards. */
async function withSources<T>(
  db: Database,
  deps: OpenDeps,
  custodianId: string,
  work: (connectorFor: ConnectorFor) => Promise<T>,
): Promise<T> {
  const records = await db.query<SourceRecord & Record<string, unknown>>(
    sql`select id, organization_id, kind, settings, secrets from connector where organization_id = ${custodianId} and enabled`,
  );
  const open = new Map<string, Connector>(records.map((one) => [one.id, openSource(deps, one).connector]));
  try {
    return await work((id) => open.get(id));
  } finally {
    await Promise.all([...open.values()].map((connector) => connector.close()));
  }
}

async function onRecord(db: Database, record: ScoreRecord, subtype: string, replay?: Replay): Promise<void> {
  const report = await findResource(db, 'DiagnosticReport', record.reportId);
  const entry: AuditEntry = {
    ...COMMAND_LINE,
    agentName: `${COMMAND_LINE.agentName} (${userInfo().username})`,
    type: 'scoring',
    subtype,
    action: 'E',
    outcome: replay && !replay.equal ? 8 : 0,
    patientId: report?.patient_id,
    custodianId: record.custodianId,
    entity: [`DiagnosticReport/${record.reportId}`, record.focus],
    ...(replay ? { detail: replay.equal ? 'equal' : 'different' } : {}),
  };
  await db.query(insertEntries([entry]));
}
