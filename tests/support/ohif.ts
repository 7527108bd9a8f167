import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A viewer that nobody here wrote. It is no dependency: 50 MB that one test needs, fetched when it runs and kept for the next time. */
const PACKAGE = '@ohif/app@3.13.2';
const INTEGRITY = 'sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA==';

/**
 * Folder of the unpacked viewer; undefined, said aloud, where the registry can't be reached.
 * @throws Error when CI=true and it can't be fetched: a pipeline never passes without it; and when it is not what was expected.
 */
export async function ohifFolder(): Promise<string | undefined> {
  const cache = resolve('node_modules/.cache/federation-hub');
  const folder = join(cache, PACKAGE.replace(/\W+/g, '-'));
  if (existsSync(folder)) return folder;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'fetching-'));
  try {
    await run('npm', ['pack', PACKAGE, '--pack-destination', work], { timeout: 120_000 });
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    if (process.env.CI === 'true') throw new Error(`${PACKAGE} can't be fetched`, { cause: error });
    process.stderr.write(`SKIPPED: ${PACKAGE} can't be fetched from the registry\n`);
    return undefined;
  }
  const [name = ''] = await readdir(work);
  const digest = createHash('sha512')
    .update(await readFile(join(work, name)))
    .digest('base64');
  if (`sha512-${digest}` !== INTEGRITY) throw new Error(`${PACKAGE} is not the one that was expected`);
  await run('tar', ['-xzf', join(work, name), '-C', work, '--exclude=*.map']);
  await rename(join(work, 'package', 'dist'), folder).catch((error) => {
    if (!existsSync(folder)) throw error;
  });
  await rm(work, { recursive: true, force: true });
  return folder;
}

/** How an operator tells the viewer of its one data source, a hub: the text of its `app-config.js`. */
export function ohifConfig(hubUrl: string): string {
  const root = `${hubUrl}/dicomweb`;
  const source = {
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
    sourceName: 'hub',
    configuration: {
      friendlyName: 'hub',
      name: 'hub',
      qidoRoot: root,
      wadoRoot: root,
      wadoUriRoot: root,
      qidoSupportsIncludeField: true,
      supportsFuzzyMatching: true,
      supportsWildcard: true,
      imageRendering: 'wadors',
      thumbnailRendering: 'wadors',
      enableStudyLazyLoad: true,
    },
  };
  const config = {
    routerBasename: '/',
    extensions: [],
    modes: [],
    useCPURendering: true,
    defaultDataSourceName: 'hub',
    dataSources: [source],
  };
  return `window.config = ${JSON.stringify(config)};`;
}
