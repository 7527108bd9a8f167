/** Work that is done now and then; a failure is told and does not end it. Keeps no process running. */
export function every(milliseconds: number, work: () => Promise<unknown>, failed: (error: unknown) => void): NodeJS.Timeout {
  return setInterval(() => void work().catch(failed), milliseconds).unref();
}
