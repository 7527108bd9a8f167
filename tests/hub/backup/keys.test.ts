import { mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { openSecrets, sealSecrets } from '../../../hub/backup/secret-file.js';
import { hub, refused, workFolder } from '../commands/command-line.js';

const PASSPHRASE = '八百标兵奔北坡 correct horse';
const SECRET = 'the secret of this year-long-enough';
const OLD = 'the secret of last year-long-enough';

describe('the file of keys', () => {
  let work: Awaited<ReturnType<typeof workFolder>>;
  let phrase: string;
  const keys = (file: string) =>
    hub(['backup', 'keys', file, '--passphrase-file', phrase], {
      HUB_SECRET: SECRET,
      HUB_PREVIOUS_SECRETS: OLD,
      HUB_DATA_DIR: join(work.path, 'data'),
    });
  beforeAll(async () => {
    work = await workFolder();
    phrase = await work.write('phrase', `${PASSPHRASE}\n`);
  });
  afterAll(() => work.remove());

  it('gives the secrets back under its passphrase, is for its owner alone, and names them by their ids only', async () => {
    const file = join(work.path, 'escrow');
    expect(await keys(file)).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/[0-9a-f]{8}, [0-9a-f]{8}\. Keep it apart/),
    });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, 'utf8')).not.toMatch(new RegExp(`${SECRET}|${OLD}|八百`));
    const opened = await hub(['backup', 'open-keys', file, '--passphrase-file', phrase]);
    expect({ ...opened, stdout: parse(opened.stdout) }).toEqual({
      status: 0,
      stderr: '',
      stdout: { secret: SECRET, previousSecrets: [OLD] },
    });
    expect(await keys(file)).toEqual(refused(expect.stringContaining('is there already')));
  });

  it('is not written beside a backup or the data', async () => {
    await mkdir(join(work.path, 'backup', 'tables'), { recursive: true });
    await work.write('backup/manifest.json', '{}');
    for (const place of ['backup/tables/keys', 'data/keys'])
      expect(await keys(join(work.path, place))).toEqual(refused(expect.stringContaining('kept apart')));
  });

  it('does not open with another passphrase, nor when it was changed; a passphrase of a few characters is refused', async () => {
    const text = await sealSecrets({ secret: SECRET, previousSecrets: [] }, PASSPHRASE);
    await expect(openSecrets(text, PASSPHRASE.normalize('NFD'))).resolves.toEqual({ secret: SECRET, previousSecrets: [] });
    await expect(openSecrets(text, `${PASSPHRASE} `)).rejects.toThrow('passphrase is another one');
    const file = JSON.parse(text) as { sealed: string; scrypt: { N: number } };
    const swapped = file.sealed.replace(/^./, (c) => (c === 'A' ? 'B' : 'A'));
    await expect(openSecrets(JSON.stringify({ ...file, sealed: swapped }), PASSPHRASE)).rejects.toThrow(
      'or the file was changed',
    );
    await expect(openSecrets(JSON.stringify({ ...file, scrypt: { ...file.scrypt, N: 2 ** 30 } }), PASSPHRASE)).rejects.toThrow(
      'no file of keys',
    );
    await expect(openSecrets('{}', PASSPHRASE)).rejects.toThrow('no file of keys');
    await expect(sealSecrets({ secret: SECRET, previousSecrets: [] }, 'short')).rejects.toThrow('12 characters');
  });
});
