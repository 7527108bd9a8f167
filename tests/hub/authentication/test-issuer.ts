import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { importJWK, type JWK, type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose';
import { newKeys } from './hub-under-test.js';

/** An OpenID Connect issuer that signs whatever it is asked to, as only a test may. */
export interface TestIssuer {
  issuer: string;
  /** Signs claims over sound defaults; null takes a default away. */
  token(claims?: Record<string, unknown>, header?: Partial<JWTHeaderParameters>): Promise<string>;
  publicJwk(): JWK;
  /** Replaces the key by a new one with another kid. */
  rotate(): Promise<void>;
  /** What it does with requests from now on. */
  behave(how: 'well' | 'fail'): void;
  requests(): number;
  close(): Promise<void>;
}

export async function startTestIssuer(audience: () => string, alg = 'ES256'): Promise<TestIssuer> {
  let generation = 1;
  let keys = await newKeys(alg, `issuer-${generation}`);
  let behaviour: 'well' | 'fail' = 'well';
  let requests = 0;
  const server = createServer((req, res) => {
    requests++;
    if (behaviour === 'fail') return res.writeHead(500).end();
    const discovery = { issuer, jwks_uri: `${issuer}/jwks` };
    return res.end(JSON.stringify(req.url === '/jwks' ? { keys: [keys.publicJwk] } : discovery));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    async token(claims = {}, header = {}) {
      const now = Math.floor(Date.now() / 1000);
      const defaults = { iss: issuer, sub: 'li', aud: audience(), iat: now, exp: now + 300, client_id: 'app', scope: 'openid' };
      const payload = Object.fromEntries(Object.entries({ ...defaults, ...claims }).filter(([, v]) => v !== null)) as JWTPayload;
      const protectedHeader = { alg, typ: 'at+jwt', kid: keys.publicJwk.kid, ...header } as JWTHeaderParameters;
      return new SignJWT(payload).setProtectedHeader(protectedHeader).sign(await importJWK(keys.privateJwk, alg));
    },
    publicJwk: () => keys.publicJwk,
    async rotate() {
      generation++;
      keys = await newKeys(alg, `issuer-${generation}`);
    },
    behave(how) {
      behaviour = how;
    },
    requests: () => requests,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
