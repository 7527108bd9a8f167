import { removeEmbeddedPostgres } from '../../hub/store/embedded.js';
import { administer } from './global-setup.js';

/** Leaves nothing behind: the run's own server is deleted, a given one loses the template. */
export default async function globalTeardown(): Promise<void> {
  const { TEST_EMBEDDED_DIR: embedded, TEST_DATABASE_SERVER: server, TEST_DATABASE_TEMPLATE: template } = process.env;
  if (embedded) await removeEmbeddedPostgres(embedded);
  else if (server && template) await administer(server, `drop database if exists ${template} with (force)`);
}
