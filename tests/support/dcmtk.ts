import { execFile } from 'node:child_process';

export interface ToolResult {
  status: number;
  /** stdout and stderr. */
  output: string;
}

/** Runs a tool of dcmtk (storescu, echoscu, movescu, ...), which sends without waiting for acknowledgements of TCP (Nagle's algorithm). */
export function dcmtk(tool: string, args: readonly (string | number)[]): Promise<ToolResult> {
  return new Promise((resolve) => {
    const env = { ...process.env, TCP_NODELAY: '1' };
    execFile(tool, args.map(String), { env, timeout: 60_000, maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) =>
      resolve({ status: error ? Number(error.code ?? -1) : 0, output: stdout + stderr }),
    );
  });
}
