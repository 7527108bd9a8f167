import Hapi from '@hapi/hapi';
import pg from 'pg';

/**
 * The limit that the hub is measured against: hapi and pg with nothing between them. No authentication, no validation, no policy, no audit.
 * Run as a process of its own with DATABASE_URL; prints its port.
 */
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 16 });
const server = Hapi.server({ host: '127.0.0.1', port: 0 });

server.route([
  {
    method: 'POST',
    path: '/ImagingStudy',
    handler: async (request, h) => {
      const study = request.payload as { id: string; subject: { reference: string }; started: string };
      await pool.query('insert into bare_study (id, patient_id, started, content) values ($1, $2, $3, $4)', [
        study.id,
        study.subject.reference,
        study.started,
        JSON.stringify(study),
      ]);
      return h.response(study).code(201);
    },
  },
  {
    method: 'GET',
    path: '/ImagingStudy/{id}',
    handler: async (request) =>
      (await pool.query('select content from bare_study where id = $1', [request.params.id])).rows[0].content,
  },
  {
    method: 'GET',
    path: '/ImagingStudy',
    handler: async (request) => {
      const { rows } = await pool.query('select content from bare_study where patient_id = $1 order by started desc limit 20', [
        request.query.patient,
      ]);
      return { resourceType: 'Bundle', type: 'searchset', entry: rows.map((r) => ({ resource: r.content })) };
    },
  },
]);
await server.start();
process.stdout.write(`${server.info.port}\n`);
