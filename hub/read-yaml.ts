import { readFileSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';

/** The content of a YAML file. @throws Error of one line that says where it is no YAML, or that there is no file. */
export function readYaml(file: string): unknown {
  const lineCounter = new LineCounter();
  const document = parseDocument(readFileSync(file, 'utf8'), { prettyErrors: false, lineCounter });
  const [error] = document.errors;
  if (!error) return document.toJS();
  const { line, col } = lineCounter.linePos(error.pos[0]);
  throw new Error(`${file}:${line}:${col}: ${error.message.split('\n', 1)[0]}`);
}
