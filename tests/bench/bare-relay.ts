import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * The least that a Node process between a reader and an archive can be: each request asked again over a connection that is kept, each answer piped
 * through. Nobody is authenticated, nothing decided, nothing on record. Run as a process of its own with ARCHIVE, an origin; prints its port.
 */
const agent = new Agent({ keepAlive: true });

const server = createServer(({ url, method, headers }, answer) => {
  const asked = request(`${process.env.ARCHIVE}${url}`, { agent, method, headers: { accept: headers.accept } }, (reply) => {
    answer.writeHead(reply.statusCode ?? 502, reply.headers);
    reply.on('error', () => answer.destroy()).pipe(answer);
  });
  asked.on('error', () => answer.destroy()).end();
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
