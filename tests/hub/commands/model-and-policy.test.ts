import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { hub, workFolder } from './command-line.js';

const MODELS = fileURLToPath(new URL('../../../models', import.meta.url));

describe('hub policy check', () => {
  it('loads the policy and runs its examples', async () => {
    expect(await hub(['policy', 'check'])).toEqual({
      status: 0,
      stdout: 'policy: ok; its rules load and every example comes out as it says\n',
      stderr: '',
    });
  });
});

describe('hub model', () => {
  let work: Awaited<ReturnType<typeof workFolder>>;
  beforeAll(async () => {
    work = await workFolder();
    await cp(join(MODELS, 'pulmonary-nodule'), join(work.path, 'pulmonary-nodule'), { recursive: true });
  });
  afterAll(() => work.remove());

  it('list shows the models of the program with version, licence and hash', async () => {
    const { status, stdout } = await hub(['model', 'list']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^name +version +modality +memory MiB +licence +sha256 +state\n/);
    expect(stdout).toMatch(/^pulmonary-nodule +\d+\.\d+\.\d+ +CT +\d+ +Apache-2\.0 +[0-9a-f]{16} +ok$/m);
  });

  it('check runs the graph and its self-test', async () => {
    const { status, stdout, stderr } = await hub(['model', 'check', 'pulmonary-nodule']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const lines = stdout.trim().split('\n');
    for (const check of ['manifest', 'hash', 'card'])
      expect(lines).toContainEqual(expect.stringMatching(`^ok   pulmonary-nodule ${check}: `));
    expect(lines.length).toBeGreaterThan(3);
    const walls = lines.filter((line) => / scoring process (network|privileges|resources): /.test(line));
    expect(walls).toHaveLength(3);
    expect(lines.every((line) => line.startsWith('ok   ') || walls.includes(line))).toBe(true);
  });

  describe('beside broken folders', () => {
    beforeAll(async () => {
      await mkdir(join(work.path, 'no-manifest-at-all'));
      await mkdir(join(work.path, 'not-json'));
      await writeFile(join(work.path, 'not-json', 'manifest.json'), '{');
      await cp(join(MODELS, 'pulmonary-nodule'), join(work.path, 'renamed-model'), { recursive: true });
    });
    afterAll(() => Promise.all(['not-json', 'renamed-model'].map((name) => rm(join(work.path, name), { recursive: true }))));

    it('list shows what is wrong with them, and ends with status 1', async () => {
      const { status, stdout } = await hub(['model', 'list', '--folder', work.path]);
      expect(status).toBe(1);
      expect(stdout).toMatch(/^not-json +BROKEN: The manifest is not JSON\.$/m);
      expect(stdout).toMatch(/^renamed-model +BROKEN: The manifest names another model than its folder\.$/m);
      expect(stdout).toMatch(/^pulmonary-nodule .* graph only$/m);
      expect(stdout).not.toContain('no-manifest-at-all');
    });

    it('check fails for them, and still checks the others', async () => {
      const { status, stdout } = await hub(['model', 'check', '--folder', work.path]);
      expect(status).toBe(1);
      expect(stdout).toMatch(/^FAIL not-json manifest: The manifest is not JSON\.$/m);
      expect(stdout).toMatch(/^FAIL renamed-model manifest: /m);
      expect(stdout).toMatch(/^ok {3}pulmonary-nodule hash: [0-9a-f]{64}$/m);
    });
  });
});
