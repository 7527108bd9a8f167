import type { Request, ResponseObject, ResponseToolkit, Server } from '@hapi/hapi';
import { z } from 'zod';
import { nameOf } from '../../fhir-profiles/canonical-resources.js';
import { callerOfRequest } from '../access/authentication/bearer-scheme.js';
import { requestContext } from '../access/authentication/request-context.js';
import type { Caller, RequestContext } from '../access/caller.js';
import type { Config } from '../config.js';
import { invalid } from '../outcomes.js';
import { courseOf } from '../scoring/course.js';
import type { Models } from '../scoring/models.js';
import type { FhirResource } from '../store/search-keys.js';
import { asked, ID } from './asked.js';
import type { components } from './openapi.generated.js';
import { courseChart } from './score-course-chart.js';

type ScoreCourse = components['schemas']['ScoreCourse'];

export interface ScoreCourseDeps {
  config: Pick<Config, 'trustedProxy' | 'maxPage'>;
  models: Models;
  /** FHIR search, with its policy and its audit. Resolves with the searchset as JSON text. */
  search(
    type: string,
    query: readonly (readonly [string, string])[],
    caller: Caller,
    context: RequestContext,
  ): Promise<string | undefined>;
}

/** `/scoring/course`: how one of a patient's scores went over time, for whoever may read the Observations that it is made of. */
export function registerScoreCourse(server: Server, deps: ScoreCourseDeps): void {
  server.route({ method: 'GET', path: '/scoring/course', handler: (request, h) => answer(deps, request, h) });
}

async function answer(deps: ScoreCourseDeps, request: Request, h: ResponseToolkit): Promise<ResponseObject> {
  const { patient, model: name, format } = asked(z.strictObject(QUERY), request.query);
  const [main] = Object.values(deps.models.get(name)?.summary ?? {});
  if (!main || !('unit' in main)) throw invalid('There is no such model with a score.', 'model');
  const query = [
    ['patient', patient],
    ['code', `${main.code.system}|${main.code.code}`],
    ['_sort', '-date'],
    ['_count', String(deps.config.maxPage)],
  ] as const;
  const found = await deps.search('Observation', query, callerOfRequest(request), requestContext(request, deps.config));
  const points = courseOf(observationsIn(found), main);
  const course: ScoreCourse = { patient, model: name, title: main.code.display, unit: main.unit, points };
  const language = /^en\b/i.test(String(request.headers['accept-language'] ?? 'zh')) ? 'en' : 'zh';
  const response =
    format === 'svg'
      ? h
          .response(courseChart({ title: nameOf(main.code, language), ...main }, points, language))
          .type('image/svg+xml; charset=utf-8')
          .header('content-security-policy', "default-src 'none'")
      : h.response(course);
  return response.header('cache-control', 'no-store').header('vary', 'accept-language');
}

const QUERY = {
  patient: ID,
  model: z.string().regex(/^[a-z][a-z0-9-]{2,63}$/),
  format: z.enum(['json', 'svg']).default('json'),
};

function observationsIn(bundle: string | undefined): FhirResource[] {
  const { entry = [] } = JSON.parse(bundle ?? '{}') as { entry?: { resource?: FhirResource }[] };
  return entry.flatMap(({ resource }) => (resource?.resourceType === 'Observation' ? [resource] : []));
}
