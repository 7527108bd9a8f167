// The page that a launch opens: signs the person in at the issuer (authorization code with PKCE), gives the launch for the patient, lists the studies.
const { hub, issuer, client, courses } = document.querySelector('script[data-hub]').dataset;
const chinese = document.documentElement.lang.startsWith('zh');
const say = (zh, en) => (chinese ? zh : en);
const MEMORY = 'launch';

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

/** The parameters leave the address at once: it may be copied, and stays in the history. */
const parameters = new URLSearchParams(location.search);
history.replaceState(null, '', '/');

async function json(answer) {
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error_description ?? body.issue?.[0]?.diagnostics ?? `HTTP ${answer.status}`);
  return body;
}

const discover = async () => json(await fetch(`${issuer}/.well-known/openid-configuration`));
const form = (url, fields) => fetch(url, { method: 'POST', body: new URLSearchParams(fields) });

async function signIn(launch) {
  if ((parameters.get('iss') ?? `${hub}/fhir`).replace(/\/$/, '') !== `${hub}/fhir`)
    throw new Error(say('此链接属于另一平台。', 'This launch is for another server.'));
  const memory = { launch, state: random(), verifier: random() };
  sessionStorage.setItem(MEMORY, JSON.stringify(memory));
  const challenge = base64url(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(memory.verifier)));
  const { authorization_endpoint: endpoint } = await discover();
  const asked = {
    response_type: 'code',
    client_id: client,
    redirect_uri: `${hub}/`,
    scope: 'openid profile',
    resource: hub,
    state: memory.state,
    code_challenge: challenge,
    code_challenge_method: 'S256',
  };
  location.assign(`${endpoint}?${new URLSearchParams(asked)}`);
}

async function redeem(code, state) {
  const memory = JSON.parse(sessionStorage.getItem(MEMORY) ?? '{}');
  sessionStorage.removeItem(MEMORY);
  if (!memory.state || memory.state !== state) throw new Error(say('登录未在此页开始。', 'This sign-in did not begin here.'));
  const { token_endpoint: endpoint } = await discover();
  const answered = {
    grant_type: 'authorization_code',
    client_id: client,
    redirect_uri: `${hub}/`,
    code,
    code_verifier: memory.verifier,
  };
  const { access_token: subject } = await json(await form(endpoint, answered));
  return json(
    await form(`${hub}/token`, {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: subject,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      launch: memory.launch,
      scope: 'launch user/*.rs',
    }),
  );
}

async function show({ access_token: token, patient }) {
  const get = async (url) => json(await fetch(url, { headers: { authorization: `Bearer ${token}` } }));
  const read = (path) => get(`${hub}/fhir/${path}`);
  const { name = [], birthDate = '' } = await read(`Patient/${patient}`);
  document.querySelector('#patient').textContent = `${name[0]?.text ?? ''} ${birthDate}`.trim();
  const names = new Map();
  const nameOf = async (organization) => {
    if (!names.has(organization)) names.set(organization, (await read(organization).catch(() => ({}))).name ?? organization);
    return names.get(organization);
  };
  const studies = document.querySelector('#studies');
  await list(studies, `${hub}/fhir/ImagingStudy?patient=${patient}&_sort=-started&_count=50`, get, (one) => linesOf(one, nameOf));
  document.querySelector('#state').textContent =
    studies.childElementCount === 0 ? say('没有可查看的检查。', 'There are no studies to see.') : '';
  const reports = document.querySelector('#reports');
  await list(reports, `${hub}/fhir/DiagnosticReport?patient=${patient}&_sort=-_lastUpdated&_count=50`, get, reportOf);
  reports.previousElementSibling.hidden = reports.childElementCount === 0;
  for (const model of courses.split(' ').filter(Boolean)) await showCourse(token, patient, model);
}

/** One page of a search, and a button for the next one where there is more. */
async function list(into, url, get, linesOf) {
  const { entry = [], link = [] } = await get(url);
  for (const { resource } of entry) into.append(...(await linesOf(resource)));
  const next = link.find(({ relation }) => relation === 'next')?.url;
  if (!next) return;
  const more = document.createElement('button');
  more.textContent = say('显示更多', 'Show more');
  more.addEventListener(
    'click',
    () =>
      list(into, next, get, linesOf)
        .catch(fail)
        .finally(() => more.remove()),
    { once: true },
  );
  into.after(more);
}

/** A report as it stands: what a machine said and nobody has checked begins by saying so. */
function reportOf({ resourceType, status, effectiveDateTime = '', code, conclusion = '' }) {
  if (resourceType !== 'DiagnosticReport') return [];
  const title = `${effectiveDateTime.slice(0, 10)} ${code?.text ?? code?.coding?.[0]?.display ?? ''}`.trim();
  const state = status === 'preliminary' ? say('初步结果，未经医师审核', 'preliminary, not checked by a physician') : status;
  return [line(`${title} (${state})`, conclusion, status === 'preliminary' ? 'report preliminary' : 'report')];
}

/** A score over time, where the patient has one that this person may see. */
async function showCourse(token, patient, model) {
  const answer = await fetch(`${hub}/scoring/course?${new URLSearchParams({ patient, model, format: 'svg' })}`, {
    headers: { authorization: `Bearer ${token}`, 'accept-language': document.documentElement.lang },
  });
  if (!answer.ok) return json(answer);
  const picture = new DOMParser().parseFromString(await answer.text(), 'image/svg+xml').documentElement;
  if (picture.querySelector('circle')) document.querySelector('#courses').append(document.importNode(picture, true));
}

async function linesOf(resource, nameOf) {
  if (resource.resourceType !== 'ImagingStudy')
    return (resource.issue ?? []).map((issue) =>
      line(say('另有检查未开放', 'A study is withheld'), issue.diagnostics ?? '', 'withheld'),
    );
  const custodian = resource.extension?.find((one) => one.url.endsWith('/custodian'))?.valueReference?.reference ?? '';
  const modality = (resource.modality ?? []).map((one) => one.code).join(', ');
  const when = (resource.started ?? '').slice(0, 10);
  return [
    line(
      `${when} ${modality} ${resource.description ?? ''}`.trim(),
      [resource.numberOfInstances, custodian && (await nameOf(custodian))].filter(Boolean).join(' · '),
      'study',
    ),
  ];
}

function line(text, more, kind) {
  const item = document.createElement('li');
  item.className = kind;
  item.textContent = text;
  const small = document.createElement('small');
  small.textContent = more;
  item.append(small);
  return item;
}

try {
  const launch = parameters.get('launch');
  if (launch) await signIn(launch);
  else if (parameters.has('error')) throw new Error(say('登录被取消。', 'The sign-in was cancelled.'));
  else await show(await redeem(parameters.get('code'), parameters.get('state')));
} catch (error) {
  fail(error);
}

function fail(error) {
  const state = document.querySelector('#state');
  state.setAttribute('role', 'alert');
  state.textContent = error.message;
}
