import { tmpdir } from 'node:os';
import { afterAll, describe, expect, it } from '@jest/globals';
import { connectorKinds, connectorSettings, createConnector } from '../../connectors/index.js';
import { createOutbound } from '../../connectors/outbound.js';
import { never } from './support/changes.js';

const outbound = createOutbound({ allowedNetworks: [] });
afterAll(() => outbound.close());

/** Paths of the elements that a schema finds wrong. */
function wrong(kind: keyof typeof connectorSettings, settings: unknown): string[] {
  const { error } = connectorSettings[kind].safeParse(settings);
  return (error?.issues ?? []).map((issue) => issue.path.join('.') || (issue as { keys?: string[] }).keys?.join() || '.');
}

describe('a hospital’s connector settings', () => {
  it('make a connector of their kind', async () => {
    expect(connectorKinds).toEqual(['folder', 'dicomweb', 'hl7v2', 'dimse', 'fhir']);
    const folder = createConnector('folder', { root: tmpdir() }, { outbound });
    expect(await folder.health(never())).toMatchObject({ reachable: true });
    const dicomweb = createConnector('dicomweb', { baseUrl: 'http://127.0.0.1:1/dicom-web' }, { outbound });
    expect(await dicomweb.health(never())).toMatchObject({
      reachable: false,
      detail: 'The address is not in an allowed network.',
    });
    const fhir = createConnector('fhir', { baseUrl: 'http://127.0.0.1:1/fhir' }, { outbound });
    expect(await fhir.health(never())).toEqual({ reachable: false, detail: 'The address is not in an allowed network.' });
    const dimse = createConnector('dimse', { host: '127.0.0.1', port: 1, calledAeTitle: 'PACS' }, { outbound });
    expect(await dimse.health(never())).toEqual({ reachable: false, detail: 'The address is not in an allowed network.' });
  });

  it('are refused with the name of the element that is wrong', () => {
    const pacs = { host: 'pacs.example', port: 104, calledAeTitle: 'PACS' };
    expect(wrong('dimse', pacs)).toEqual([]);
    for (const title of ['', ' ', 'A title of more than 16', 'A\\B', '王'])
      expect(wrong('dimse', { ...pacs, calledAeTitle: title })).toEqual(['calledAeTitle']);
    expect(wrong('dimse', { ...pacs, port: 0, maxConcurrent: 1, password: 'x' })).toEqual(['port', 'maxConcurrent', 'password']);
    expect(wrong('folder', { root: '' })).toEqual(['root']);
    expect(wrong('folder', { root: '/x', defaultUtcOffset: '+8' })).toEqual(['defaultUtcOffset']);
    expect(wrong('folder', { root: '/x', rot: 1 })).toEqual(['rot']);
    for (const baseUrl of ['pacs', 'file:///etc', 'http://a:b@pacs/', 'http://pacs/?q', 'http://pacs/#f'])
      expect(wrong('dicomweb', { baseUrl })).toEqual(['baseUrl']);
    expect(wrong('dicomweb', { baseUrl: 'http://pacs/', auth: { kind: 'basic', username: 'u' } })).toEqual(['auth.password']);
    expect(wrong('dicomweb', { baseUrl: 'http://pacs/', maxConcurrent: 0 })).toEqual(['maxConcurrent']);
    expect(() => createConnector('folder', {}, { outbound })).toThrow(/root/);
  });
});
