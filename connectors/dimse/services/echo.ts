import { SourceError } from '../../connector.js';
import { transferSyntaxes } from '../../dicom/part10.js';
import type { Association } from '../association/association.js';
import { commands } from '../messages/command.js';
import { statusText } from '../messages/status.js';

/** Verification SOP Class (PS3.4 annex A). */
export const verification = '1.2.840.10008.1.1';

export const verificationContext = {
  abstractSyntax: verification,
  transferSyntaxes: [transferSyntaxes.implicitLittleEndian],
};

/** C-ECHO (PS3.7 9.1.5). @throws SourceError when the peer refuses it or does not answer with success. */
export async function echo(association: Association): Promise<void> {
  const context = association.context(verification);
  if (!context) throw new SourceError('refused', 'The PACS does not accept C-ECHO.');
  await association.send(context.id, {
    commandField: commands.echoRequest,
    messageId: 1,
    sopClassUid: verification,
    hasDataSet: false,
  });
  const answer = await association.receive();
  if (answer?.command.commandField !== commands.echoResponse)
    throw new SourceError('bad-response', 'The PACS does not answer C-ECHO.');
  if (answer.command.status !== 0)
    throw new SourceError('bad-response', `The PACS answers C-ECHO with ${statusText(answer.command.status ?? 0xffff)}.`);
}
