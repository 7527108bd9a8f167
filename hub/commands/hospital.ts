import { createOutbound } from '../../connectors/outbound.js';
import { addCommission, addHospital, type HospitalRecord } from '../ingest/hospital.js';
import { checkHospital, listHospitals } from '../ingest/hospital-state.js';
import { readYaml } from '../read-yaml.js';
import { table, withDatabase } from './operate.js';

/** `hub hospital add FILE`: joins a hospital, or brings its record up to date. A running hub begins to read its sources within seconds. */
export async function addHospitalFromFile(file: string): Promise<void> {
  const record = readYaml(file) as HospitalRecord;
  const unsigned = await withDatabase((db, config) => addHospital(db, record, config));
  console.log(`${record.id} is joined; see: hub hospital check ${record.id}`);
  if (unsigned) console.log(`its membership takes effect when its administrator has signed it: /access/agreements/${unsigned}`);
}

/** `hub hospital list`. */
export async function listHospitalsTable(): Promise<void> {
  const hospitals = await withDatabase((db) => listHospitals(db));
  if (hospitals.length === 0) return console.log('no hospital has joined yet');
  console.log(
    table(hospitals.map(({ sources, rules: _, ...hospital }) => ({ ...hospital, sources: sources.map((s) => s.id).join(' ') }))),
  );
}

/** `hub hospital check [ID]`: asks each source whether it answers. Exit status 1 when one does not. */
export async function checkHospitals(id?: string): Promise<void> {
  await withDatabase(async (db, config) => {
    const outbound = createOutbound({ allowedNetworks: config.outboundNetworks, allowedHosts: config.outboundHosts });
    try {
      const known = await listHospitals(db);
      const ids = id ? [id] : known.map((h) => h.id);
      for (const each of ids) {
        if (!known.some((h) => h.id === each)) throw new Error(`there is no hospital ${each}`);
        const { sources, rules, ...hospital } = await checkHospital(db, each, { config, outbound });
        console.log(`${table([{ ...hospital }])}\n`);
        if (rules.length > 0) console.log(`scored without being asked:\n${rules.map((rule) => `  ${rule}`).join('\n')}\n`);
        if (sources.length > 0)
          console.log(
            `${table(sources.map(({ health, ...s }) => ({ ...s, reachable: health.reachable, detail: health.detail })))}\n`,
          );
        if (sources.some(({ health }) => !health.reachable)) process.exitCode = 1;
      }
    } finally {
      await outbound.close();
    }
  });
}

/** `hub commission add ID NAME`. */
export async function enterCommission(id: string, name: string): Promise<void> {
  await withDatabase((db, config) => addCommission(db, { id, name }, config));
  console.log(`${id} is entered; bind its people with: hub account bind --organization ${id}`);
}
