/** Work that is done now and then; a failure is told and does not end it. Keeps no process running. */
export function every(milliseconds: number, work: () => Promise<unknown>, failed: (error: unknown) => void): NodeJS.Timeout {
  let isBusy = false;
  const turn = async (): Promise<void> => {
    if (isBusy) return;
    isBusy = true;
    await work().catch(failed);
    isBusy = false;
  };
  return setInterval(() => void turn(), milliseconds).unref();
}
