import type { RetrieveReply } from '../../../connectors/connector.js';

export interface ReceivedPart {
  contentType: string;
  body: Buffer;
}

export async function bytesOf(reply: RetrieveReply): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of reply.body) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Parses a multipart/related message as a client would (RFC 2046 section 5.1), by its boundary alone. */
export async function partsOf(reply: RetrieveReply): Promise<ReceivedPart[]> {
  const boundary = /boundary="?([^";]+)"?/.exec(reply.contentType)?.[1] ?? '';
  const message = await bytesOf(reply);
  const delimiter = Buffer.from(`--${boundary}`);
  const parts: ReceivedPart[] = [];
  let position = message.indexOf(delimiter);
  for (;;) {
    const start = position + delimiter.length;
    if (message.subarray(start, start + 2).toString() === '--') return parts;
    const end = message.indexOf(Buffer.concat([Buffer.from('\r\n'), delimiter]), start);
    if (end < 0) throw new Error('the message has no end');
    const headEnd = message.indexOf('\r\n\r\n', start);
    const head = message.subarray(start, headEnd).toString();
    parts.push({ contentType: /content-type: *(.*)/i.exec(head)?.[1]?.trim() ?? '', body: message.subarray(headEnd + 4, end) });
    position = end + 2;
  }
}
