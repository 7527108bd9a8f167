import { describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../../hub/config.js';

const sound = {
  HUB_PRODUCTION: 'true',
  HUB_SECRET: 'c29tZSByYW5kb20gYnl0ZXMgb2YgYW4gb3BlcmF0b3I=',
  HUB_PUBLIC_URL: 'https://hub.example',
};

describe('a production start', () => {
  it('goes ahead with a secret of its own, and TLS in front of it', () => {
    expect(loadConfig({ ...sound, HUB_HOST: '0.0.0.0', HUB_TRUSTED_PROXY: 'true' }).production).toBe(true);
    expect(loadConfig(sound).production).toBe(true);
  });

  it.each<[string, Record<string, string | undefined>]>([
    ['secret', { HUB_SECRET: undefined }],
    ['secret', { HUB_SECRET: 'demonstration-secret-change-me' }],
    ['secret', { HUB_SECRET: 'short' }],
    ['previousSecrets', { HUB_PREVIOUS_SECRETS: 'demonstration-secret-change-me' }],
    ['previousSecrets', { HUB_PREVIOUS_SECRETS: 'short' }],
    ['demo', { HUB_DEMO: 'true' }],
    ['tlsCert', { HUB_HOST: '0.0.0.0' }],
    ['publicUrl', { HUB_PUBLIC_URL: 'http://hub.example' }],
    ...[
      '*',
      'https://*.example.org',
      'https://viewer.example.org/',
      'viewer.example.org',
      'http://viewer.example.org',
      'null',
      'https://a@b.example',
    ].map((origin): [string, Record<string, string>] => ['webOrigins', { HUB_WEB_ORIGINS: `https://fine.example,${origin}` }]),
    ['oidcIssuer', { HUB_OIDC_ISSUER: 'http://idp.example' }],
  ])('is refused for its %s: %j', (setting, change) => {
    const environment = Object.fromEntries(Object.entries({ ...sound, ...change }).filter(([, v]) => v !== undefined));
    expect(() => loadConfig(environment)).toThrow(setting);
  });

  it('is refused for a setting that does not exist', () => {
    expect(() => loadConfig({ ...sound, HUB_SECERT: 'x' })).toThrow('HUB_SECERT');
  });
});
