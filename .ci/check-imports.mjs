// Imports run one way. A folder imports itself and folders below it, never a neighbour unless it is named here. Type imports count too.
import { readdir, readFile } from 'node:fs/promises';
import { join, normalize } from 'node:path';

/** From top to bottom; the folders of one row do not import each other. */
const program = [['tests'], ['hub'], ['reports', 'connectors', 'models', 'policies'], ['fhir-profiles']];
const domains = ['hub/imaging', 'hub/ingest', 'hub/identity', 'hub/scoring', 'hub/referral', 'hub/delivery'];
const kernel = ['hub/access', 'hub/audit'];
const hub = [
  ['hub/main'],
  ['hub/commands'],
  ['hub/demo'],
  ['hub/compose'],
  ['hub/server'],
  ['hub/fhir', 'hub/dicomweb', 'hub/api', 'hub/console', 'hub/backup'],
  domains,
  ['hub/jobs'],
  kernel,
  ['hub/store'],
];
/**
 * What neighbours may import from each other: identity and retrieval serve the other domains; a caller is audited, a write has an audit; QIDO-RS
 * searches by the conditions of FHIR search.
 */
const neighbourly = {
  'hub/fhir': ['hub/dicomweb'],
  'hub/identity': domains,
  'hub/imaging': domains,
  'hub/access': kernel,
  'hub/audit': kernel,
};
/** Below its neighbours: the DICOM library, which models read images with. */
const library = { 'connectors/dicom': ['models'] };
/** Open to the whole hub. */
const open = ['hub/outcomes', 'hub/config', 'hub/log', 'hub/read-yaml', 'hub/every'];

const rowOf = (rows, unit) => rows.findIndex((row) => row.includes(unit));

/** `hub/access` of hub/access/caller.ts, `hub/main` of hub/main.ts, `reports` of anything in reports, `connectors/dicom` of what is in it. */
function unitOf(path) {
  const [top, second = ''] = path.split('/');
  if (library[`${top}/${second}`]) return `${top}/${second}`;
  return top === 'hub' ? `hub/${second.replace(/\.[a-z.]+$/, '')}` : top;
}

function allowed(from, to) {
  const [fromTop, toTop] = [from.split('/')[0], to.split('/')[0]];
  if (from === to || library[to]?.includes(fromTop) || (fromTop === toTop && fromTop !== 'hub')) return true;
  if (fromTop !== toTop) return rowOf(program, fromTop) < rowOf(program, toTop);
  if (open.includes(to)) return true;
  const [above, below] = [rowOf(hub, from), rowOf(hub, to)];
  if (above < 0 || below < 0) return false;
  return above < below || (above === below && (neighbourly[to] ?? []).includes(from));
}

const IMPORT = /(?:\bfrom|\bimport)\s*\(?\s*['"](\.[^'"]+)['"]/g;
let wrong = 0;
for (const folder of program.flat()) {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  for (const entry of entries.filter((e) => e.isFile() && e.name.endsWith('.ts'))) {
    const file = join(entry.parentPath ?? entry.path, entry.name);
    for (const [, target] of (await readFile(file, 'utf8')).matchAll(IMPORT)) {
      const to = unitOf(normalize(join(file, '..', target)));
      if (allowed(unitOf(file), to)) continue;
      console.error(`${file}: imports ${target}, but ${unitOf(file)} may not import ${to}`);
      wrong++;
    }
  }
}
console.log(wrong === 0 ? 'imports run one way' : `${wrong} imports run the wrong way (layers: .ci/check-imports.mjs)`);
process.exit(wrong === 0 ? 0 : 1);
