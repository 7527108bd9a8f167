import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';

/** The passphrase from a file's first line, or typed without being shown. @param twice it is new: ask again, a slip would lock everything away */
export async function readPassphrase(file: string | undefined, twice: boolean): Promise<string> {
  if (file !== undefined) return readFileSync(file, 'utf8').split(/\r?\n/)[0] as string;
  if (!process.stdin.isTTY) throw new Error('nobody is there to be asked: say --passphrase-file FILE');
  const typed = await ask('Passphrase: ');
  if (twice && (await ask('Again: ')) !== typed) throw new Error('the two are not the same');
  return typed;
}

async function ask(question: string): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const line = createInterface({ input: process.stdin, output: silent, terminal: true });
  process.stderr.write(question);
  try {
    return await line.question('');
  } finally {
    line.close();
    process.stderr.write('\n');
  }
}
