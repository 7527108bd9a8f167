import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { listModels, loadModelPackage, modelNames, modelsFolder } from '../../models/model-package.js';
import { checkModelPackage, scoreStudy } from '../../models/runtime.js';
import { withFolder } from './support.js';

const name = 'pulmonary-nodule';

/** Works on a copy of the model after a change to it. */
const withCopy = <T>(change: (folder: string) => Promise<void>, use: (root: string) => Promise<T>): Promise<T> =>
  withFolder(async (root) => {
    await cp(join(modelsFolder, name), join(root, name), { recursive: true });
    await change(join(root, name));
    return use(root);
  });

async function editManifest(folder: string, edit: (manifest: Record<string, unknown>) => void): Promise<void> {
  const path = join(folder, 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8'));
  edit(manifest);
  await writeFile(path, JSON.stringify(manifest));
}

describe('the models of the project', () => {
  it('are listed with version and licence, and pass every check', async () => {
    const models = await listModels();
    expect(models.map(({ manifest }) => manifest.name)).toContain(name);
    for (const { manifest } of models) {
      const checks = await checkModelPackage(manifest.name);
      expect(checks.filter(({ ok }) => !ok)).toEqual([]);
      expect([...new Set(checks.map(({ check }) => check))]).toEqual([
        'manifest',
        'card',
        'hash',
        'content',
        'graph',
        'self-test',
      ]);
    }
  });

  it('say in their card that they are not for clinical use without approval', async () => {
    for (const { folder } of await listModels()) {
      expect(await readFile(join(folder, 'model-card.md'), 'utf8')).toContain('Not for clinical use without approval');
    }
  });
});

describe('a model folder', () => {
  it('is refused where the graph is not the one that the manifest names', async () => {
    const flip = async (folder: string) => {
      const bytes = await readFile(join(folder, 'model.onnx'));
      bytes[bytes.length - 20]! ^= 1;
      await writeFile(join(folder, 'model.onnx'), bytes);
    };
    await withCopy(flip, async (root) => {
      expect(await loadModelPackage(name, root)).toMatchObject({ ok: false, code: 'invalid-model' });
      expect((await checkModelPackage(name, root)).filter(({ ok }) => !ok)).toMatchObject([{ check: 'hash' }]);
      expect(await scoreStudy({ model: name, modelsRoot: root, files: ['x'] })).toMatchObject({
        ok: false,
        code: 'invalid-model',
      });
      expect(await listModels(root)).toEqual([]);
      expect(await modelNames(root)).toEqual([name]);
    });
  });

  it('is refused where the manifest lacks its licence or claims another name', async () => {
    const withoutLicence = (folder: string) => editManifest(folder, (manifest) => delete manifest['licence']);
    await withCopy(withoutLicence, async (root) => {
      const outcome = await loadModelPackage(name, root);
      expect(outcome).toMatchObject({ ok: false, code: 'invalid-model' });
      expect(outcome.ok ? '' : outcome.message).toContain('licence');
    });
    const renamed = (folder: string) => editManifest(folder, (manifest) => Object.assign(manifest, { name: 'another-model' }));
    await withCopy(renamed, async (root) =>
      expect(await loadModelPackage(name, root)).toMatchObject({ ok: false, code: 'invalid-model' }),
    );
  });

  it('fails its check where the graph computes something else than the manifest expects', async () => {
    const expectOther = (folder: string) =>
      editManifest(folder, (manifest) => {
        (manifest['selfTest'] as { expect: { value: number }[] }).expect[0]!.value = 0.123;
      });
    await withCopy(expectOther, async (root) => {
      const checks = await checkModelPackage(name, root);
      expect(checks.find(({ check }) => check === 'self-test')).toMatchObject({ ok: false });
    });
  });

  it.each(['../models', 'no-such-model', '', 'a/b', '..'])('is not found under the name %j', async (wrong) => {
    expect(await loadModelPackage(wrong)).toMatchObject({ ok: false, code: 'invalid-model' });
  });
});
