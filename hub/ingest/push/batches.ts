export interface BatchLimits {
  count: number;
  /** Sum of sizes; an item that is larger goes alone. */
  bytes: number;
  /** Longest time that the first item of a batch waits for others, ms. */
  ms: number;
}

const TIME_IS_UP = Symbol();

/** Items in their order, several at once: what came together goes together, and nothing waits long for what may come. */
export async function* batches<T>(
  items: AsyncIterable<T>,
  sizeOf: (item: T) => number,
  limits: BatchLimits,
): AsyncGenerator<T[]> {
  const iterator = items[Symbol.asyncIterator]();
  let batch: T[] = [];
  let bytes = 0;
  let next: Promise<IteratorResult<T>> | undefined;
  let since = 0;
  try {
    for (;;) {
      next ??= iterator.next();
      const result = batch.length === 0 ? await next : await Promise.race([next, timeUp(since + limits.ms - performance.now())]);
      if (result === TIME_IS_UP) {
        yield batch;
        [batch, bytes] = [[], 0];
        continue;
      }
      next = undefined;
      if (result.done) break;
      if (batch.length > 0 && bytes + sizeOf(result.value) > limits.bytes) {
        yield batch;
        [batch, bytes] = [[], 0];
      }
      if (batch.length === 0) since = performance.now();
      batch.push(result.value);
      bytes += sizeOf(result.value);
      if (batch.length < limits.count && bytes < limits.bytes) continue;
      yield batch;
      [batch, bytes] = [[], 0];
    }
    if (batch.length > 0) yield batch;
  } finally {
    // whoever gives the items may be waiting for the next one: nobody waits for that
    next?.catch(() => undefined);
    void iterator.return?.().catch(() => undefined);
  }
}

function timeUp(ms: number): Promise<typeof TIME_IS_UP> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(TIME_IS_UP), Math.max(0, ms)).unref();
  });
}
