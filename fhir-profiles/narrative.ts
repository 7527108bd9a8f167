/**
 * FHIR narrative: invariants txt-1 and txt-2 (https://hl7.org/fhir/R4/narrative.html). XHTML may hold formatting, lists,
 * tables, images and links, nothing that runs, loads or asks for input: the console and hospital systems may display it.
 */

const allowedElements = new Set(
  (
    'a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img kbd li ' +
    'map area ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var'
  ).split(' '),
);
const markup = /<!--|<[^>]*>?/g;
const tag = /^<\/?([a-z][a-z0-9]*)((?:\s+[A-Za-z_][\w:.-]*\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*\/?>$/;
const attribute = /([A-Za-z_][\w:.-]*)\s*=\s*(?:"([^"<]*)"|'([^'<]*)')/g;
const safeLink = /^(?:https?:|mailto:|tel:|#|[^:]*$)/i;
const safeImage = /^(?:data:image\/(?:png|jpeg|gif);|https?:|#|[^:]*$)/i;

/** Says what is wrong with a narrative's XHTML, or undefined. Comments, CDATA and processing instructions are refused. */
export function narrativeProblem(div: string): string | undefined {
  if (!/^\s*<div[\s>]/.test(div) || !/<\/div>\s*$|^\s*<div[^>]*\/>\s*$/.test(div)) return 'narrative is one <div> element';
  if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f]|\p{Cs}/u.test(div))
    return 'control characters and lone surrogates are not allowed';
  if (!/[^\s]/.test(div.replace(/<(?!img)[^<>]*>/g, ''))) return 'narrative has some content (txt-2)';
  for (const [piece] of div.matchAll(markup)) {
    const problem = tagProblem(piece);
    if (problem) return problem;
  }
  return undefined;
}

function tagProblem(piece: string): string | undefined {
  const parts = tag.exec(piece);
  if (!parts || !allowedElements.has(parts[1] as string))
    return 'narrative has only formatting elements, links and images (txt-1)';
  for (const [, name, double, single] of (parts[2] as string).matchAll(attribute)) {
    const key = (name as string).toLowerCase();
    const value = decodeReferences(double ?? single ?? '').replace(/[\u0000-\u0020]/g, '');
    if (key.startsWith('on')) return 'narrative has no event handlers (txt-1)';
    if (key === 'href' && !safeLink.test(value)) return 'narrative links only to web pages, mail and telephone (txt-1)';
    if (key === 'src' && !safeImage.test(value)) return 'narrative images are files or embedded (txt-1)';
    if (key === 'style' && /url\(|expression|@import|javascript:/i.test(value)) return 'narrative styles load nothing (txt-1)';
  }
  return undefined;
}

/** Character references could hide a scheme: `java&#115;cript:`. Named ones beyond the colon can't be part of one. */
function decodeReferences(value: string): string {
  const numeric = value.replace(/&#(?:x([0-9a-f]{1,6})|(\d{1,7}));?/gi, (_, hex, decimal) => {
    const point = Number.parseInt(hex ?? decimal, hex ? 16 : 10);
    return point <= 0x10ffff ? String.fromCodePoint(point) : '';
  });
  return numeric.replace(/&colon;/gi, ':').replace(/&(?:tab|newline);/gi, '');
}
