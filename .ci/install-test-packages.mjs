// Makes sure that the programs the tests drive are here: a real PACS, DICOM tools, a browser, Chinese fonts.
// As root on Debian they are installed (no service is started); elsewhere one line says what to install, and the tests do not begin.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Debian package and a file or program that shows that it, or its like on other systems, is installed. */
const needed = [
  { package: 'orthanc', sign: ['Orthanc', '/usr/sbin/Orthanc'] },
  { package: 'orthanc-dicomweb', sign: ['/usr/share/orthanc/plugins/libOrthancDicomWeb.so'] },
  { package: 'dcmtk', sign: ['storescu'] },
  { package: 'openssl', sign: ['openssl'] },
  { package: 'chromium', sign: ['chromium', 'chromium-browser', 'google-chrome'] },
  { package: 'fonts-noto-cjk', sign: ['/usr/share/fonts/opentype/noto'] },
];

const folders = (process.env.PATH ?? '').split(delimiter);
const isHere = (sign) => (sign.startsWith('/') ? existsSync(sign) : folders.some((folder) => existsSync(join(folder, sign))));
const missing = () => needed.filter((n) => !n.sign.some(isHere)).map((n) => n.package);

function install(packages) {
  const options = { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  const policy = '/usr/sbin/policy-rc.d'; // asked by Debian's package scripts before they start a service; 101 forbids it
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    execFileSync('apt-get', ['update', '-q'], options);
    execFileSync('apt-get', ['install', '-qy', '--no-install-recommends', ...packages], options);
  } finally {
    if (ours) rmSync(policy);
  }
}

const wanted = missing();
const canInstall =
  process.getuid?.() === 0 && existsSync('/etc/debian_version') && spawnSync('apt-get', ['--version']).status === 0;
if (wanted.length > 0 && canInstall) {
  console.log(`installing for the tests: ${wanted.join(' ')}`);
  install(wanted);
}
const left = missing();
if (left.length > 0) {
  console.error(
    `The tests need programs that are not here. On Debian: sudo apt-get install --no-install-recommends ${left.join(' ')}`,
  );
  process.exit(1);
}
