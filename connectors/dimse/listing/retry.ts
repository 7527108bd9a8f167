import { type Change, SourceError } from '../../connector.js';
import { parseLocator } from '../../dicomweb/resource.js';
import { findStudies } from './list-studies.js';
import { createMemory } from './memory.js';
import { type Reading, readStudy } from './read-study.js';

/** Reads a quarantined instance again, or the study that a quarantined series or study is. @throws SourceError `not-found` when it is gone. */
export async function readAgain(reading: Reading, locator: string, sopClassUid?: string): Promise<Change[]> {
  const resource = parseLocator(locator);
  if (resource === undefined) throw new SourceError('not-found', 'The PACS has no such item.');
  const { studyInstanceUid, seriesInstanceUid, sopInstanceUid } = resource;
  if (seriesInstanceUid !== undefined && sopInstanceUid !== undefined)
    return reading.readObjects({ studyInstanceUid, seriesInstanceUid, sopInstanceUid, ...(sopClassUid ? { sopClassUid } : {}) });
  const [study] = await findStudies(reading.finder, studyInstanceUid);
  if (study === undefined) throw new SourceError('not-found', 'The PACS no longer has this study.');
  return (await readStudy({ ...reading, memory: createMemory(1) }, study)).changes;
}
