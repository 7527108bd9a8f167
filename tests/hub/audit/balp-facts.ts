/** An AuditEvent taken apart into comparable facts: codes with their systems, roles, presence of what is free text. */
type Json = Record<string, unknown>;
interface Coding {
  system?: string;
  code?: string;
}

/** Which slice an agent is, by its type: users go by several codes. */
const AGENTS: Readonly<Record<string, string>> = {
  '110150': 'application',
  '110152': 'destination',
  '110153': 'source',
  authserver: 'authorizer',
  '159541003': 'custodian',
  '429577009': 'patient-advocate',
  PROV: 'organization',
  homeCommunityId: 'home-community',
};
/** Which slice an entity is, by its role. */
const ENTITIES: Readonly<Record<string, string>> = {
  1: 'patient',
  3: 'data',
  4: 'data',
  20: 'data',
  24: 'query',
  13: 'decision',
};

/** Codes that are of the single event, not of its pattern: whatever the purpose was, its system is compared. */
const OF_THE_EVENT = /purposeOf(Use|Event)$|\.role$/;
/** Reference, identifier and display of somebody are three ways to say who. */
const WHO = /^(.*\.(?:who|what)|source\.observer)\./;

const codings = (value: unknown): Coding[] => (value as { coding?: Coding[] } | undefined)?.coding ?? [];

function sliceOf(path: string, item: Json): string {
  if (path === 'agent') {
    const codes = codings(item.type).map((c) => c.code ?? '');
    return `agent[${codes.map((code) => AGENTS[code]).find(Boolean) ?? 'user'}]`;
  }
  const type = item.type as Coding;
  if (type.code === 'XrequestId') return 'entity[request]';
  if (type.code === 'Consent') return 'entity[consent]';
  return `entity[${ENTITIES[(item.role as Coding | undefined)?.code ?? ''] ?? type.code}]`;
}

/** Facts like `type=system|code`, `agent[source].network.type=2`, `agent[user].who.identifier`. */
export function factsOf(event: object): Set<string> {
  const facts = new Set<string>();
  const { id: _id, text: _text, resourceType: _type, ...rest } = event as Json;
  walk('', rest, facts);
  return facts;
}

function walk(path: string, value: unknown, facts: Set<string>): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(path === 'agent' || path === 'entity' ? sliceOf(path, item as Json) : path, item, facts);
    return;
  }
  if (typeof value !== 'object' || value === null) {
    const isCode = /(^|\.)(action|outcome|requestor|network\.type|profile)$/.test(path);
    facts.add(isCode ? `${path}=${value}` : path);
    return;
  }
  const object = value as Json;
  if (typeof object.code === 'string') {
    const isOfEvent = OF_THE_EVENT.test(path) && !path.startsWith('entity');
    facts.add(`${path}=${object.system ?? ''}|${isOfEvent ? '*' : object.code}`);
    return;
  }
  for (const [name, inner] of Object.entries(object)) {
    if (name === 'coding') walk(path, inner, facts);
    else walk(path === '' ? name : `${path}.${name}`, inner, facts);
  }
}

/** What the example states and the event does not, and the other way round. That somebody is named counts, not how. */
export function compared(example: object, event: object): { missing: string[]; added: string[] } {
  const [theirs, ours] = [factsOf(example), factsOf(event)].map((facts) => new Set([...facts].map(named)));
  return {
    missing: [...theirs!].filter((fact) => !ours!.has(fact)).sort(),
    added: [...ours!].filter((fact) => !theirs!.has(fact)).sort(),
  };
}

const named = (fact: string): string =>
  fact
    .replace(WHO, (_, at: string) => `${at}:`)
    .replace(/:.*$/, (rest) => (/^:(reference|display|identifier)/.test(rest) ? '' : rest));
