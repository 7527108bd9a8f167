/** One row of the audit: who did what to which patient's data, why, on what basis, with what outcome. */
export interface AuditEntry {
  /** `rest`, `authentication`, `query`, `export`, `policy`, `scoring`, `referral`, `ingest`, `identity`, `access`: the class of event. */
  type: 'rest' | 'authentication' | 'query' | 'export' | 'policy' | 'scoring' | 'referral' | 'ingest' | 'identity' | 'access';
  /** The operation inside the class: a FHIR restful-interaction (`read`, `search-type`, ...), `retrieve`, `accept`, `link`, ... */
  subtype: string;
  /** AuditEvent.action: Create, Read, Update, Delete, Execute. */
  action: 'C' | 'R' | 'U' | 'D' | 'E';
  /** AuditEvent.outcome: 0 success, 4 minor failure (refused), 8 serious failure. */
  outcome: 0 | 4 | 8;
  /** Namespaced id of the agent (Caller.id), or `Device/hub` for the hub's own work. */
  agent: string;
  agentName?: string;
  organizationId?: string;
  role?: string;
  purpose?: string;
  clientId?: string;
  /** The patient whose data it is about; one entry for each patient (IHE BALP). */
  patientId?: string;
  /** References of the records concerned; more than 100 go on in further rows. */
  entity?: string[];
  custodianId?: string;
  /** The search as asked (patient data stays out of the logs, but belongs here). */
  query?: string;
  basis?: string;
  rule?: string;
  evidence?: unknown;
  /** The epoch of the policy that decided. */
  policyEpoch?: number;
  /** Each question that it decided, with the conditions that held: `read ImagingStudy own registered`. With it the decision can be replayed. */
  decidedOn?: readonly string[];
  /** Reason class of a denial, or a short note; no clinical content. */
  detail?: string;
  /** The caller was told that there is no such record: to his own organization the entry shows no more than that. */
  concealed?: boolean;
  requestId: string;
  address?: string;
}

/** Who acts when the hub's operator does something by command. */
export const COMMAND_LINE = { agent: 'Device/hub', agentName: 'command line', requestId: 'command-line' } as const;

/** Writes entries. If it can't, the request fails and nothing is shown. */
export interface Audit {
  /** Inside a transaction: committed with the change, or not at all. */
  append(tx: import('../store/database.js').Queryable, entries: readonly AuditEntry[]): Promise<void>;
  /** For reads: resolves once the entries are committed (concurrent callers share a commit). @throws when they can't be. */
  commit(entries: readonly AuditEntry[]): Promise<void>;
  close(): Promise<void>;
}
