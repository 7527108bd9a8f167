import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, join, resolve, sep } from 'node:path';
import Hapi from '@hapi/hapi';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
};

/** A page with nothing on it. */
export const BLANK = 'blank.html';

export interface WebPages {
  url: string;
  stop(): Promise<void>;
}

/**
 * A web site on loopback: the files of a folder, with some in their place; whatever is no file is its `index.html`, as single-page applications have it.
 * Without a folder every page is blank.
 */
export async function serveWebPages(
  port: number,
  { folder, scripts = {} }: { folder?: string; scripts?: Record<string, string> },
): Promise<WebPages> {
  const server = Hapi.server({ host: '127.0.0.1', port });
  server.route({
    method: 'GET',
    path: '/{path*}',
    handler: async (request, h) => {
      const path = String(request.params.path ?? '');
      const script = scripts[path];
      if (script !== undefined) return h.response(script).type('text/javascript');
      if (folder === undefined || path === BLANK) return h.response('<!doctype html>').type('text/html');
      const file = resolve(folder, path);
      const isFile = file.startsWith(folder + sep) && extname(file) !== '' && existsSync(file);
      const found = isFile ? file : join(folder, 'index.html');
      return h.response(await readFile(found)).type(TYPES[extname(found)] ?? 'application/octet-stream');
    },
  });
  await server.start();
  return { url: `http://127.0.0.1:${port}`, stop: () => server.stop({ timeout: 1000 }) };
}
