import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { acceptAssociation } from '../../../connectors/dimse/association/accept-association.js';
import type { Association, Message } from '../../../connectors/dimse/association/association.js';
import { type Rejection, rejections } from '../../../connectors/dimse/association/pdu.js';
import { commands } from '../../../connectors/dimse/messages/command.js';
import { decodeIdentifier } from '../../../connectors/dimse/messages/identifier.js';
import { text } from '../../../connectors/dicom/describe.js';
import type { DicomJson } from '../../../connectors/dicom/values.js';
import { element } from './data-sets.js';

/** A row of a PACS' database: attributes by tag. */
export type Row = Record<string, string>;

/** One association as a PACS that misbehaves sees it. */
export interface Peer {
  socket: Socket;
  association: Association;
  /** Answers the request that came. */
  answer(message: Message, response: number, status: number, data?: Buffer, more?: object): Promise<void>;
}

/** What the PACS does with a request; `not mine` leaves it to the next one. */
export type Behaviour = (peer: Peer, message: Message, query: DicomJson) => Promise<unknown>;

export interface DimsePeer {
  port: number;
  /** Commands that came: `STUDY 20250101-20250107`, `SERIES`, `IMAGE`, `ECHO`, `GET`. */
  asked: string[];
  stop(): Promise<void>;
}

export interface PeerOptions {
  behaviours: readonly Behaviour[];
  /** Instead of an association. */
  onConnect?: (socket: Socket) => void;
  rejection?: Rejection;
  /** Presentation contexts that it takes. */
  isAccepted?: (abstractSyntax: string) => boolean;
}

const waits = { artimMs: 2_000, responseMs: 5_000, idleMs: 5_000 };

/** A PACS that does what a test tells it; C-ECHO is answered. */
export async function startDimsePeer({
  behaviours,
  onConnect,
  rejection,
  isAccepted = () => true,
}: PeerOptions): Promise<DimsePeer> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    if (onConnect) return onConnect(socket);
    serve(socket).catch(() => socket.destroy());
  });
  async function serve(socket: Socket): Promise<void> {
    const rejectionOf = (): Rejection | undefined => rejection;
    const association = await acceptAssociation(socket, { maxPduLength: 131_072, waits, rejectionOf, isAccepted });
    if (!association) return;
    const peer: Peer = {
      socket,
      association,
      answer: (message, response, status, data, more = {}) =>
        association.send(
          message.contextId,
          {
            ...{ commandField: response, respondedTo: message.command.messageId ?? 0, sopClassUid: message.command.sopClassUid },
            ...{ status, hasDataSet: data !== undefined },
            ...more,
          },
          data,
        ),
    };
    for (let message = await association.receive(); message; message = await association.receive()) await handle(peer, message);
  }
  async function handle(peer: Peer, message: Message): Promise<void> {
    const { command, contextId } = message;
    if (command.commandField === commands.cancelRequest) {
      asked.push('CANCEL');
      return;
    }
    if (command.commandField === commands.echoRequest) {
      asked.push('ECHO');
      return peer.answer(message, commands.echoResponse, 0);
    }
    const syntax = peer.association.agreement.contexts.find(({ id }) => id === contextId)!.transferSyntax;
    const query = await decodeIdentifier(message.data, syntax);
    const level = command.commandField === commands.getRequest ? 'GET' : (text(query, '00080052') ?? '');
    asked.push([level, text(query, '00080020') ?? ''].join(' ').trim());
    for (const behaviour of behaviours) if ((await behaviour(peer, message, query)) !== 'not mine') return;
    await peer.answer(message, command.commandField | 0x8000, 0);
  }
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** C-FIND over rows, as the Study Root model matches: UIDs, and ranges of Study Date and Time. */
export function lists(
  rows: readonly Row[],
  { most = Number.POSITIVE_INFINITY, atMost = 0, ignores = [] as string[] } = {},
): Behaviour {
  return async (peer, message, query) => {
    if (message.command.commandField !== commands.findRequest) return 'not mine';
    const level = text(query, '00080052');
    const key = level === 'STUDY' ? '0020000D' : level === 'SERIES' ? '0020000E' : '00080018';
    const matching = rows.filter((row) => matches(row, query, ignores));
    const found = [...new Map(matching.map((row) => [row[key], row])).values()].slice(0, most);
    for (const row of found)
      await peer.answer(message, commands.findResponse, 0xff00, dataSetOf({ ...row, '00080052': level ?? '' }));
    await peer.answer(message, commands.findResponse, found.length === most ? atMost : 0);
  };
}

const vrs: Record<string, string> = {
  '00080005': 'CS',
  '00080016': 'UI',
  '00080018': 'UI',
  '00080020': 'DA',
  '00080030': 'TM',
  '00080052': 'CS',
  '00080060': 'CS',
  '00100010': 'PN',
  '00100020': 'LO',
  '00180015': 'CS',
  '0020000D': 'UI',
  '0020000E': 'UI',
  '00201208': 'IS',
  '00201209': 'IS',
};

export const dataSetOf = (row: Row): Buffer =>
  Buffer.concat(
    Object.keys(row)
      .sort()
      .map((tag) => element(tag, vrs[tag] ?? 'LO', row[tag] ?? '')),
  );

function matches(row: Row, query: DicomJson, ignores: readonly string[]): boolean {
  return ['0020000D', '0020000E', '00080018', '00080020', '00080030'].every((tag) => {
    const wanted = text(query, tag);
    if (wanted === undefined || ignores.includes(tag)) return true;
    const value = row[tag] ?? '';
    if (!wanted.includes('-')) return value === wanted;
    const [from = '', to = ''] = wanted.split('-');
    return value !== '' && value >= from && (to === '' || value <= to);
  });
}

export { rejections };

/** So many studies of one CT series each; one a day from today backward. */
export function studies(
  count: number,
  { instances = 1, perDay = 1, claimed = instances }: { instances?: number; perDay?: number; claimed?: number } = {},
): Row[] {
  const begin = Date.now();
  return Array.from({ length: count }, (_, i) => {
    const study = `1.2.3.${i + 1}`;
    const at = new Date(begin - Math.floor(i / perDay) * 24 * 60 * 60 * 1000).toISOString().slice(0, 10).replaceAll('-', '');
    const minutes = ((i % perDay) * 1439) / perDay;
    const time = `${String(Math.floor(minutes / 60)).padStart(2, '0')}${String(Math.floor(minutes % 60)).padStart(2, '0')}00`;
    return Array.from(
      { length: instances },
      (_, n): Row => ({
        ...{
          '0020000D': study,
          '0020000E': `${study}.1`,
          '00080018': `${study}.1.${n + 1}`,
          '00080016': '1.2.840.10008.5.1.4.1.1.2',
        },
        ...{
          '00080020': at,
          '00080030': time,
          '00080060': 'CT',
          '00180015': 'CHEST',
          '00100010': 'Wang^Fang',
          '00100020': `P${i}`,
        },
        ...{ '00201208': String(claimed), '00201209': String(instances) },
      }),
    );
  }).flat();
}
