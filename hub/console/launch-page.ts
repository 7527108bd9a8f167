import { readFileSync } from 'node:fs';
import type { Request, ResponseObject, ResponseToolkit, Server } from '@hapi/hapi';
import type { Config } from '../config.js';

type PageConfig = Pick<Config, 'publicUrl' | 'oidcIssuer' | 'consoleClient'>;

const script = readFileSync(new URL('./launch.js', import.meta.url));

/** The script of the page, from the hub itself: the page runs no other. */
export function registerLaunchScript(server: Server): void {
  server.route({
    method: 'GET',
    path: '/launch.js',
    options: { auth: false },
    handler: (_request, h) => h.response(script).type('text/javascript; charset=utf-8').header('cache-control', 'no-cache'),
  });
}

/** Whether the front page was opened by a hospital's system with a patient, or by the issuer with the answer of a sign-in. */
export const isLaunch = ({ query }: Request): boolean =>
  'launch' in query || ('code' in query && 'state' in query) || 'error' in query;

/**
 * The page that a launch opens (SMART App Launch 2): the person signs in at the issuer, the launch is given for the patient, and the studies are listed as
 * policy lets this person see them. Nothing about the patient is in the address or in this page.
 * @param courses models whose score is followed over time, each drawn where the patient has it.
 */
export function launchPage(config: PageConfig, courses: readonly string[], chinese: boolean, h: ResponseToolkit): ResponseObject {
  const issuer = config.oidcIssuer ? new URL(config.oidcIssuer).origin : '';
  const policy = [
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    "script-src 'self'",
    `connect-src 'self' ${issuer}`.trim(),
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
  ];
  return h
    .response(render(config, courses, chinese))
    .type('text/html; charset=utf-8')
    .header('content-security-policy', policy.join('; '))
    .header('vary', 'accept-language')
    .header('cache-control', 'no-store');
}

function render({ publicUrl, oidcIssuer = '', consoleClient }: PageConfig, courses: readonly string[], chinese: boolean): string {
  const title = chinese ? '患者的影像检查' : 'Imaging studies of the patient';
  const attribute = (name: string, value: string): string =>
    ` data-${name}="${value.replace(/&/g, '&amp;').replace(/"/g, '&quot;')}"`;
  return `<!doctype html>
<html lang="${chinese ? 'zh-CN' : 'en'}">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>
body{font:16px/1.6 system-ui,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;color:#1b2a33;background:#f4f7f8;margin:0}
main{max-width:46rem;margin:0 auto;padding:2.5rem 1.25rem}h1{font-size:1.4rem;margin:0 0 .25rem}
#patient{font-size:1.1rem;margin:0 0 1.5rem}ul{list-style:none;padding:0;display:grid;gap:.5rem}
li{background:#fff;border:1px solid #dbe4e8;border-radius:.5rem;padding:.75rem 1rem}li.withheld,li.preliminary{background:#f7f3e8}small{color:#546e7a;display:block;white-space:pre-line}h2{font-size:1.1rem}
#courses svg{max-width:100%;height:auto;border:1px solid #dbe4e8;border-radius:.5rem}
[role=alert]{color:#a3161c}
</style>
<script type="module" src="/launch.js"${attribute('hub', publicUrl)}${attribute('issuer', oidcIssuer)}${attribute('client', consoleClient)}${attribute('courses', courses.join(' '))}></script>
</head>
<body><main>
<h1>${title}</h1>
<p id="patient"></p>
<p id="state" role="status">${chinese ? '正在登录…' : 'Signing in …'}</p>
<ul id="studies"></ul>
<h2 hidden>${chinese ? '报告' : 'Reports'}</h2>
<ul id="reports"></ul>
<div id="courses"></div>
</main></body></html>`;
}
