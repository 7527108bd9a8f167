import { expect, it } from '@jest/globals';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { addSource } from '../../hub/ingest/hospital.js';
import { joinHospital, startHubProcess } from '../support/hub-process.js';
import { describeWithRealData } from '../support/real-data.js';
import { testDatabase } from '../support/test-database.js';

describeWithRealData('the hub is killed while it indexes', (data) => {
  it('and what it holds after the next start is what it would hold without the kill', async () => {
    const database = await testDatabase();
    const count = async (): Promise<{ studies: number; series: number; instances: number }> =>
      (
        await database.db.pool.query(`select (select count(*)::int from resource where type = 'ImagingStudy') as studies,
          (select coalesce(sum((content->>'numberOfSeries')::int), 0)::int from resource where type = 'ImagingStudy') as series,
          (select coalesce(sum((content->>'numberOfInstances')::int), 0)::int from resource where type = 'ImagingStudy') as instances`)
      ).rows[0];
    const start = () => startHubProcess({ databaseUrl: database.url });
    let hub = await start();
    try {
      await joinHospital(hub, { id: 'hospital-a', assigner: 'urn:oid:1.2.826.0.1.3680043.10.1451.41' });
      await addSource(database.db, {
        id: 'a.folder',
        organizationId: 'hospital-a',
        kind: 'folder',
        settings: { root: join(data, 'hospital-a') },
      });
      for (let kills = 0; kills < 3; kills += 1) {
        const before = (await count()).instances;
        for (let i = 0; i < 1_000 && (await count()).instances === before; i += 1) await sleep(10);
        await hub.kill();
        hub = await start();
      }
      for (let i = 0; i < 900 && (await count()).instances < 148; i += 1) await sleep(100);
      await sleep(1000);
      expect(await count()).toEqual({ studies: 3, series: 6, instances: 148 });
      const { rows } = await database.db.pool.query("select reason from quarantine where state = 'held'");
      expect(rows).toEqual([{ reason: 'sop-instance-conflict' }]);
      const audited = await database.db.pool.query("select count(*)::int as n from audit_event where type = 'ingest'");
      expect(audited.rows[0].n).toBeGreaterThanOrEqual(3);
    } finally {
      expect(await hub.stop()).toBe(0);
      await database.close();
    }
  });
});
