import { z } from 'zod';
import type { Connector } from './connector.js';
import { fhirOffset } from './dicom/date-time.js';
import { createDimseConnector } from './dimse/dimse-connector.js';
import { createDicomwebConnector } from './dicomweb/dicomweb-connector.js';
import { createFhirConnector, FHIR_TYPES } from './fhir/fhir-connector.js';
import { createFolderConnector } from './folder/folder-connector.js';
import { isNetwork } from './address-policy.js';
import { CHARACTER_SETS } from './hl7v2/character-set.js';
import { createHl7v2Connector } from './hl7v2/hl7v2-connector.js';
import { ACCESSION_FIELDS } from './hl7v2/order-numbers.js';
import type { Outbound } from './outbound.js';
import { privateKey } from './smart-backend.js';

/** What connectors need from the program that runs them. */
export interface ConnectorDeps {
  outbound: Outbound;
}

const utcOffset = z
  .string()
  .refine((offset) => /^[+-]\d{2}:\d{2}$/.test(offset) && fhirOffset(offset) !== undefined, 'must be an offset such as +08:00');

const rootUrl = z
  .string()
  .max(2_000)
  .refine(isRootUrl, 'must be an http or https address without credentials, query or fragment');

/** Path of a PEM file. */
const pemFile = z.string().min(1).max(4_096);

/** Networks that may connect to a listener, and its certificate. */
const peerNetworks = z.array(z.string().refine(isNetwork, 'must be an address or a network in CIDR notation')).min(1).max(100);
const listenerTls = z.strictObject({ cert: pemFile, key: pemFile, clientCa: pemFile.optional() });

/** Application Entity title (PS3.5 6.2, AE): at most 16 characters, not only spaces. */
const aeTitle = z.string().regex(/^(?! )[\x20-\x5b\x5d-\x7e]{1,16}(?<! )$/, 'must be an AE title of at most 16 characters');

const basicAuth = z.strictObject({ kind: z.literal('basic'), username: z.string().min(1), password: z.string() });
const bearerAuth = z.strictObject({ kind: z.literal('bearer'), token: z.string().min(1) });
const httpAuth = z.discriminatedUnion('kind', [basicAuth, bearerAuth]).optional();

/** SMART Backend Services; the default of `scope` is to read what is read. */
const smartAuth = z.strictObject({
  kind: z.literal('smart'),
  clientId: z.string().min(1).max(500),
  privateKey,
  tokenUrl: rootUrl.optional(),
  scope: z.string().min(1).max(2_000).optional(),
});

const httpTimeouts = z
  .strictObject({ headersMs: z.int().min(100).max(600_000).optional(), idleMs: z.int().min(100).max(600_000).optional() })
  .optional();

/** Settings of each kind of connector, as they stand in a hospital's record. Unknown elements are refused. */
export const connectorSettings = {
  folder: z.strictObject({
    root: z.string().min(1).max(4_096),
    defaultUtcOffset: utcOffset.optional(),
    clockSkewMs: z.int().min(0).max(3_600_000).optional(),
  }),
  dicomweb: z.strictObject({
    baseUrl: rootUrl,
    orthancUrl: rootUrl.optional(),
    auth: httpAuth,
    defaultUtcOffset: utcOffset.optional(),
    timeouts: httpTimeouts,
    tlsCa: pemFile.optional(),
    maxConcurrent: z.int().min(1).max(64).optional(),
    maxJsonBytes: z.int().min(1_024).max(1_073_741_824).optional(),
    fullListingHours: z.number().positive().max(8_760).optional(),
    recentDays: z.int().min(0).max(3_650).optional(),
  }),
  hl7v2: z.strictObject({
    port: z.int().min(1).max(65_535),
    host: z.string().min(1).max(255).optional(),
    peers: peerNetworks,
    tls: listenerTls.optional(),
    characterSet: z.enum(CHARACTER_SETS).optional(),
    ownAuthorities: z.array(z.string().min(1).max(200)).max(50).optional(),
    authorities: z.record(z.string().min(1).max(200), z.url().max(500)).optional(),
    accessionNumberIn: z.enum(ACCESSION_FIELDS).optional(),
    processingId: z.string().min(1).max(8).optional(),
    defaultUtcOffset: utcOffset.optional(),
    maxMessageBytes: z.int().min(1_024).max(67_108_864).optional(),
    maxSegments: z.int().min(10).max(100_000).optional(),
    maxConnections: z.int().min(1).max(1_000).optional(),
    messageTimeoutMs: z.int().min(100).max(600_000).optional(),
    idleTimeoutMs: z.int().min(1_000).max(86_400_000).optional(),
  }),
  dimse: z
    .strictObject({
      host: z.string().min(1).max(253),
      port: z.int().min(1).max(65_535),
      calledAeTitle: aeTitle,
      aeTitle: aeTitle.optional(),
      tls: z
        .strictObject({
          ca: pemFile.optional(),
          cert: pemFile.optional(),
          key: pemFile.optional(),
          serverName: z.string().min(1).max(253).optional(),
        })
        .optional(),
      retrieve: z.enum(['C-GET', 'C-MOVE']).optional(),
      listen: z
        .strictObject({
          port: z.int().min(1).max(65_535),
          host: z.string().min(1).max(255).optional(),
          peers: peerNetworks,
          tls: listenerTls.optional(),
          callingAeTitles: z.array(aeTitle).min(1).max(100).optional(),
          maxAssociations: z.int().min(1).max(1_000).optional(),
          maxObjectBytes: z.int().min(1_024).optional(),
        })
        .optional(),
      auth: z.strictObject({ username: z.string().min(1).max(200), passcode: z.string().min(1).max(200).optional() }).optional(),
      defaultUtcOffset: utcOffset.optional(),
      timeouts: z
        .strictObject({
          connectMs: z.int().min(100).max(600_000).optional(),
          artimMs: z.int().min(100).max(600_000).optional(),
          responseMs: z.int().min(100).max(600_000).optional(),
          idleMs: z.int().min(100).max(600_000).optional(),
        })
        .optional(),
      maxConcurrent: z.int().min(3).max(64).optional(),
      maxPduBytes: z.int().min(4_096).max(1_048_576).optional(),
      freshDays: z.int().min(0).max(3_650).optional(),
      recentDays: z.int().min(0).max(3_650).optional(),
      recentMinutes: z.number().positive().max(525_600).optional(),
      fullListingHours: z.number().positive().max(8_760).optional(),
    })
    .refine(({ retrieve, listen }) => retrieve !== 'C-MOVE' || listen !== undefined, {
      message: 'is needed to retrieve by C-MOVE',
      path: ['listen'],
    }),
  fhir: z.strictObject({
    baseUrl: rootUrl,
    auth: z.discriminatedUnion('kind', [basicAuth, bearerAuth, smartAuth]).optional(),
    tlsCa: pemFile.optional(),
    endpoints: z
      .array(z.strictObject({ baseUrl: rootUrl, auth: httpAuth, tlsCa: pemFile.optional() }))
      .max(20)
      .optional(),
    fullListingHours: z.number().positive().max(8_760).optional(),
    types: z.array(z.enum(FHIR_TYPES)).min(1).optional(),
    numberSystem: z.url().max(500).optional(),
    overlapSeconds: z.int().min(0).max(86_400).optional(),
    pageSize: z.int().min(1).max(1_000).optional(),
    timeouts: httpTimeouts,
    maxConcurrent: z.int().min(1).max(64).optional(),
    maxJsonBytes: z.int().min(1_024).max(268_435_456).optional(),
    defaultUtcOffset: utcOffset.optional(),
  }),
} as const;

export type ConnectorKind = keyof typeof connectorSettings;

export const connectorKinds = Object.keys(connectorSettings) as ConnectorKind[];

/**
 * The connector of a hospital's record.
 * @param settings checked against `connectorSettings[kind]`.
 * @throws z.ZodError whose issues name the elements that are wrong.
 */
export function createConnector(kind: ConnectorKind, settings: unknown, { outbound }: ConnectorDeps): Connector {
  if (kind === 'folder') return createFolderConnector(connectorSettings.folder.parse(settings));
  if (kind === 'hl7v2') return createHl7v2Connector(connectorSettings.hl7v2.parse(settings));
  if (kind === 'fhir') return createFhirConnector({ ...connectorSettings.fhir.parse(settings), outbound });
  if (kind === 'dimse') return createDimseConnector({ ...connectorSettings.dimse.parse(settings), outbound });
  return createDicomwebConnector({ ...connectorSettings.dicomweb.parse(settings), outbound });
}

function isRootUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  const isBare = url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  return isBare && (url.protocol === 'http:' || url.protocol === 'https:');
}
