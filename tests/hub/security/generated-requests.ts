/** Requests that reach for what a caller may not know of, by every path there is, made from the search parameters that the hub states. */
import fc from 'fast-check';
import { systems } from '../../../fhir-profiles/codes.js';
import { isReference, type SearchKey, searchKeys } from '../../../hub/store/search-keys.js';
import { bundleOf, samplePatient } from '../../support/fhir-samples.js';
import { type Answer, assigner, type Client, kindOfTask } from './world.js';

export interface Asked {
  method: 'get' | 'post' | 'put';
  path: string;
  body?: object;
  headers?: Record<string, string>;
}

export const ask = (client: Client, { method, path, body, headers }: Asked): Promise<Answer> =>
  method === 'get'
    ? client.get(path, headers)
    : method === 'post'
      ? client.post(body!, path, headers)
      : client.put(body as never, path, headers);

/** What requests name: hidden things, things that may be seen, and things that are not there. */
export interface Named {
  /** `Type/id` */
  records: readonly string[];
  patients: readonly string[];
  uids: readonly string[];
  numbers: readonly string[];
}

/** What is shown between hospitals is searched more often. */
const SHOWN = ['ImagingStudy', 'Patient', 'Observation', 'DiagnosticReport'];
const TYPES = [
  ...SHOWN,
  ...SHOWN,
  ...SHOWN,
  'ServiceRequest',
  'Task',
  'Consent',
  'Provenance',
  'Organization',
  'Endpoint',
  'Practitioner',
];
const CODES: Readonly<Record<string, readonly string[]>> = {
  status: ['final', 'preliminary', 'active', 'requested', 'completed', 'available', 'amended', 'accepted'],
  gender: ['male', 'female'],
  active: ['true', 'false'],
  modality: ['CT', 'MR'],
  intent: ['order'],
  priority: ['stat', 'routine'],
};
const ORGANIZATIONS = ['a', 'b', 'c', 'd', 'e'].map((id) => `Organization/${id}`);

/** A search as its parts, `name=value`. */
export function searches(named: Named): fc.Arbitrary<Asked> {
  const control = (type: string): fc.Arbitrary<string> => {
    const references = (searchKeys[type] ?? []).filter(isReference).map((k) => `_include=${type}:${k.name}`);
    const reverse = referring(type).map(({ source, key }) => `_revinclude=${source}:${key.name}`);
    const iterated = Object.entries(searchKeys).flatMap(([source, keys]) =>
      keys.filter(isReference).map((k) => `_include:iterate=${source}:${k.name}`),
    );
    return fc.oneof(
      fc.constantFrom(
        '_total=accurate',
        '_summary=count',
        '_summary=true',
        '_summary=text',
        '_elements=status,identifier,subject',
      ),
      fc.constantFrom('_count=1', '_count=2', '_count=3'),
      fc.constantFrom('_sort=-_lastUpdated', '_sort=_lastUpdated', '_sort=_id', '_sort=-_id', '_sort=started', '_sort=date'),
      fc.constantFrom(...references, ...reverse, ...reverse.map((r) => r.replace('=', ':iterate='))),
      fc.constantFrom(...iterated),
    );
  };
  return fc.constantFrom(...TYPES).chain((type) =>
    fc
      .tuple(
        fc.oneof(
          { weight: 4, arbitrary: fc.array(parameter(type, named, 2), { maxLength: 1 }) },
          fc.array(parameter(type, named, 2), { maxLength: 2 }),
        ),
        fc.array(control(type), { maxLength: 3 }),
        fc.constantFrom('strict', 'lenient'),
      )
      .map(([parts, more, handling]): Asked => {
        const prefer = { prefer: `handling=${handling}` };
        return { method: 'get', path: `/fhir/${type}?${[...parts, ...more].join('&')}`, headers: prefer };
      }),
  );
}

/** Reference parameters of all types that lead to this one. */
const referring = (type: string): { source: string; key: SearchKey }[] =>
  Object.entries(searchKeys).flatMap(([source, keys]) =>
    keys.filter((k) => k.targets?.includes(type)).map((key) => ({ source, key })),
  );

/** A parameter that selects, at most `links` references away. What holds of anything is drawn often: then the link alone decides. */
function parameter(type: string, named: Named, links: number): fc.Arbitrary<string> {
  const keys = searchKeys[type] ?? [];
  const own = fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom('_lastUpdated=ge2020', '_id:not=x', '_id:not=nobody') },
    { weight: 3, arbitrary: keys.length > 0 ? fc.constantFrom(...keys).chain((key) => plain(key, named)) : fc.constant('_id=x') },
    fc.constantFrom(...named.records).map((r) => `_id=${r.split('/')[1]}`),
    fc.constantFrom('_security=R', '_security:missing=false', '_security:not=R'),
  );
  if (links === 0) return own;
  const chains = keys
    .filter(isReference)
    .flatMap((key) => (key.targets ?? []).map((target) => ({ link: `${key.name}:${target}.`, target })));
  const reverse = referring(type).map(({ source, key }) => ({ link: `_has:${source}:${key.name}:`, target: source }));
  const followed = [...chains, ...reverse];
  if (followed.length === 0) return own;
  const linked = fc
    .constantFrom(...followed)
    .chain(({ link, target }) => parameter(target, named, links - 1).map((p) => link + p));
  return fc.oneof(own, linked, linked);
}

function plain(key: SearchKey, named: Named): fc.Arbitrary<string> {
  const missing = fc.constantFrom('true', 'false').map((v) => `${key.name}:missing=${v}`);
  return fc.oneof({ weight: 4, arbitrary: value(key, named) }, missing);
}

function value(key: SearchKey, { records, patients, uids, numbers }: Named): fc.Arbitrary<string> {
  const is = (v: string): string => `${key.name}=${v}`;
  switch (key.kind) {
    case 'patient':
      return fc.constantFrom(...patients).map(is);
    case 'reference':
      return fc.constantFrom(...records, ...ORGANIZATIONS).map(is);
    case 'date':
      return fc
        .tuple(fc.constantFrom('ge', 'lt', 'eq', 'ne', 'sa', 'eb'), fc.constantFrom('1970', '1990', '2021', '2024-05-06', '2026'))
        .map((parts) => is(parts.join('')));
    case 'name':
      return fc.constantFrom('%E7%A7%A6', 'q', 'h', '%E6%9D%8E').map(is);
    default: {
      const codes = CODES[key.name];
      if (!codes) return fc.constantFrom(...numbers, ...uids.map((u) => `urn:oid:${u}`), 'x').map(is);
      return fc.oneof(
        fc.constantFrom(...codes).map(is),
        fc.constantFrom(...codes, 'x').map((code) => `${key.name}:not=${code}`),
      );
    }
  }
}

/** Everything that can be asked, searches most often. */
export function requests(named: Named): fc.Arbitrary<Asked> {
  const record = fc.constantFrom(...named.records);
  const patient = fc.constantFrom(...named.patients);
  const uid = fc.constantFrom(...named.uids);
  const number = fc.constantFrom(...named.numbers);
  const versions = ['', '/_history', '/_history/1', '/_history/2', '/_history?_count=1', '/_history?_count=1&_before=2'];
  const read = fc
    .tuple(record, fc.constantFrom(...versions), fc.constantFrom('W/"1"', 'W/"2"', 'W/"3"'))
    .map(([r, more, etag]): Asked => ({ method: 'get', path: `/fhir/${r}${more}`, headers: { 'if-none-match': etag } }));
  const retrieve = fc
    .tuple(uid, fc.constantFrom('', '/metadata', '?custodian=a', '/series/2.25.5', '/series/2.25.5/instances/2.25.6/frames/1'))
    .map(([u, more]): Asked => ({ method: 'get', path: `/dicomweb/studies/${u}${more}` }));
  const explain = fc
    .tuple(record, fc.constantFrom('know', 'read', 'write', 'score', 'disclose'))
    .map(([resource, action]): Asked => ({ method: 'post', path: '/access/explain', body: { resource, action } }));
  const observation = (of: string, on: readonly string[]) => ({
    resourceType: 'Observation',
    status: 'final',
    code: { text: 'x' },
    subject: { reference: `Patient/${of}` },
    derivedFrom: on.map((reference) => ({ reference })),
  });
  const refer = fc
    .tuple(record, patient)
    .map(([r, p]): Asked => ({ method: 'post', path: '/fhir/Observation', body: observation(p, [r, 'ImagingStudy/nowhere']) }));
  const request = fc.tuple(record, patient, fc.constantFrom('consultation-request', 'release-request', 'scoring-request')).map(
    ([r, p, kind]): Asked => ({
      method: 'post',
      path: '/fhir/Task',
      body: {
        resourceType: 'Task',
        status: 'requested',
        intent: 'order',
        code: kindOfTask(kind),
        focus: { reference: r },
        for: { reference: `Patient/${p}` },
        requester: { reference: 'Organization/nowhere' },
        owner: { reference: 'Organization/a' },
      },
    }),
  );
  const versioned = fc.constantFrom({ 'if-match': 'W/"1"' }, { 'if-match': 'W/"7"' });
  const replace = fc.tuple(record, versioned).map(([r, headers]): Asked => {
    const [resourceType, id] = r.split('/');
    // against every profile: what may be written is refused for this, and stays as it is
    return { method: 'put', path: `/fhir/${r}`, headers, body: { resourceType, id, status: 'final', code: { text: 'x' } } };
  });
  const replacePatient = fc.tuple(patient, fc.constant({ 'if-match': 'W/"7"' })).map(([id, headers]): Asked => {
    return { method: 'put', path: `/fhir/Patient/${id}`, headers, body: { ...samplePatient(assigner('a'), 'X1'), id } };
  });
  const invalid = (value: string) =>
    samplePatient(assigner('a'), value, { identifier: [{ system: systems.nationalIdentifier, value: 'wrong' }] });
  const find = number.map(
    (n): Asked => ({ method: 'post', path: '/fhir/Patient', headers: { 'if-none-exist': `identifier=${n}` }, body: invalid(n) }),
  );
  const conditional = number.map((n): Asked => ({ method: 'put', path: `/fhir/Patient?identifier=${n}`, body: invalid(n) }));
  const pages = fc
    .constantFrom('/quarantine', '/identity/links', '/fhir/metadata', '/reports/exchange-volume', '/reports/consultations')
    .map((path): Asked => ({ method: 'get', path }));
  const one = fc.oneof(
    { weight: 9, arbitrary: searches(named) },
    { weight: 3, arbitrary: read },
    retrieve,
    explain,
    refer,
    request,
    replace,
    replacePatient,
    find,
    conditional,
    pages,
  );
  return fc.oneof({ weight: 9, arbitrary: one }, together(fc.oneof(searches(named), read, refer, replace, replacePatient, find)));
}

/** Several in one batch, or as a transaction, which takes no reads. */
function together(one: fc.Arbitrary<Asked>): fc.Arbitrary<Asked> {
  return fc
    .tuple(fc.array(one, { minLength: 1, maxLength: 4 }), fc.constantFrom('batch', 'transaction'))
    .map(([all, kind]): Asked => {
      const type = kind as 'batch' | 'transaction';
      const entry = all
        .filter((a) => type === 'batch' || a.method !== 'get')
        .map(({ method, path, body, headers }) => ({
          ...(body ? { resource: body } : {}),
          request: {
            method: method.toUpperCase(),
            url: path.replace('/fhir/', ''),
            ifMatch: headers?.['if-match'],
            ifNoneExist: headers?.['if-none-exist'],
            ifNoneMatch: headers?.['if-none-match'],
          },
        }));
      return { method: 'post', path: '/fhir', body: bundleOf(type, entry) };
    });
}
