/** Preloaded with `--import` into a hub process: its clock goes wrong by TEST_CLOCK_SKEW milliseconds, in every way a program can ask for the time of day. */
const skew = Number(process.env.TEST_CLOCK_SKEW ?? 0);
const TrueDate = Date;

class SkewedDate extends TrueDate {
  constructor(...given: unknown[]) {
    if (given.length === 0) super(TrueDate.now() + skew);
    else super(...(given as [number]));
  }

  static override now(): number {
    return TrueDate.now() + skew;
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return Object.prototype.toString.call(value) === '[object Date]';
  }
}

globalThis.Date = SkewedDate as DateConstructor;
Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin + skew });
