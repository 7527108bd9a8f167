import type { Socket } from 'node:net';

/** undici's parser of a connection, as far as it is touched here. */
interface Parser {
  paused: boolean;
  resume(): void;
}

/**
 * Keeps a source that hangs up while its answer waits to be read from ending the process: undici 7 asserts then that its parser is not paused, in a
 * listener that nobody can catch (nodejs/undici#5360, mended in 8, which needs a newer Node). A paused parser is let go on before it is ended. To be
 * called before undici has the socket, so that this listener comes first.
 */
export function letPausedParserEnd(socket: Socket): void {
  const goOn = (): void => {
    const parser = parserOf(socket);
    if (!parser?.paused) return;
    // does nothing once the socket is destroyed
    parser.resume();
    parser.paused = false;
  };
  for (const event of ['end', 'error', 'close']) socket.on(event, goOn);
}

function parserOf(socket: Socket): Parser | undefined {
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'parser');
  return symbol && (socket as unknown as Record<symbol, Parser | undefined>)[symbol];
}
