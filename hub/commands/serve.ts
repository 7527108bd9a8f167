import pino from 'pino';
import { composeHub } from '../compose.js';
import { loadConfig } from '../config.js';
import { prepareDemonstration } from '../demo/demonstration.js';
import { openStore } from './operate.js';

/** `hub serve`: runs until SIGINT or SIGTERM, then drains. */
export async function serve(options: { demo?: boolean }): Promise<void> {
  const demo = options.demo ? { demo: true } : {};
  const given = loadConfig(process.env, demo);
  const config = given.demo ? loadConfig(process.env, { ...demo, ...demoSettings(given.publicUrl, process.env) }) : given;
  const progress = (line: string): void => void process.stdout.write(`${line}\n`);
  const log = pino({ level: config.demo && !process.env.HUB_LOG_LEVEL ? 'warn' : config.logLevel, base: undefined });
  const store = await openStore(config, config.demo ? progress : (line) => log.info(line));
  const demonstration = config.demo ? await prepareDemonstration(config, progress) : undefined;
  const hub = await composeHub(config, { log, db: store.db, databaseUrl: store.url, extend: demonstration?.register });
  await hub.server.start();
  log.info({ url: config.publicUrl }, 'listening');
  const drain = async (signal: string): Promise<void> => {
    log.info({ signal }, 'draining');
    await hub.stop();
    await store.close();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void drain(signal).then(() => process.exit(0)));
  await demonstration?.present(hub);
}

/** The demonstration brings its own issuer and reads archives of this machine. */
function demoSettings(publicUrl: string, environment: NodeJS.ProcessEnv): Record<string, unknown> {
  return environment.HUB_OIDC_ISSUER ? {} : { oidcIssuer: `${publicUrl}/demo-idp` };
}
