import { SourceError } from '../../connector.js';
import type { DicomJson } from '../../dicom/values.js';
import type { Association } from '../association/association.js';
import { commands } from '../messages/command.js';
import { decodeIdentifier, encodeIdentifier, identifierSyntaxes, type Keys } from '../messages/identifier.js';
import { isPending, statuses, statusText } from '../messages/status.js';

/** Study Root Query/Retrieve Information Model (PS3.4 C.6.2). */
export const studyRoot = {
  find: '1.2.840.10008.5.1.4.1.2.2.1',
  move: '1.2.840.10008.5.1.4.1.2.2.2',
  get: '1.2.840.10008.5.1.4.1.2.2.3',
} as const;

/** Query/Retrieve Level (0008,0052). */
export type Level = 'STUDY' | 'SERIES' | 'IMAGE';

export interface Query {
  level: Level;
  keys: Keys;
  /** Answers that are taken; then the query is cancelled. */
  most: number;
  /** Answers that are kept; by default all. */
  isWanted?: (answer: DicomJson) => boolean;
}

export interface Answers {
  entries: DicomJson[];
  /** False when there may be more: the PACS ended before the end, or the hub did. */
  isWhole: boolean;
}

export const findContext = { abstractSyntax: studyRoot.find, transferSyntaxes: identifierSyntaxes };

/** After a C-CANCEL so many answers may still come. */
const mostAfterCancel = 1_000;

/**
 * C-FIND (PS3.4 C.4.1). A PACS that stops with "out of resources", or as if it had been cancelled, gives what it has.
 * @throws SourceError `refused` when the association has no C-FIND, `bad-response` for another failure.
 */
export async function find(association: Association, { level, keys, most, isWanted = () => true }: Query): Promise<Answers> {
  const context = association.context(studyRoot.find);
  if (!context) throw new SourceError('refused', 'The PACS does not accept C-FIND with the Study Root model.');
  const messageId = 1;
  const request = { commandField: commands.findRequest, messageId, sopClassUid: studyRoot.find, priority: 0, hasDataSet: true };
  // Without a character set of its own a query is answered in ASCII, or in Latin 1, by a PACS that converts its answers.
  const identifier = encodeIdentifier({ '00080005': 'ISO_IR 192', ...keys, '00080052': level }, context.transferSyntax);
  await association.send(context.id, request, identifier);
  const entries: DicomJson[] = [];
  for (let taken = 0; taken <= most + mostAfterCancel; taken += 1) {
    const message = await association.receive();
    const status = message?.command.status;
    if (message?.command.commandField !== commands.findResponse || status === undefined)
      throw new SourceError('bad-response', 'The PACS does not answer C-FIND.');
    if (!isPending(status)) return { entries, isWhole: isWholeAt(status) && taken <= most };
    if (taken < most) {
      const entry = await decodeIdentifier(message.data, context.transferSyntax);
      if (isWanted(entry)) entries.push(entry);
    }
    if (taken === most)
      await association.send(context.id, { commandField: commands.cancelRequest, respondedTo: messageId, hasDataSet: false });
  }
  throw new SourceError('bad-response', 'The PACS answers C-FIND without end.');
}

function isWholeAt(status: number): boolean {
  if (status === statuses.success) return true;
  if (status === statuses.cancelled || (status & 0xff00) === statuses.outOfResources) return false;
  throw new SourceError('bad-response', `The PACS answers C-FIND with ${statusText(status)}.`);
}
