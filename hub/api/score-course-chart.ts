import type { CoursePoint } from '../scoring/course.js';

const WIDTH = 640;
const HEIGHT = 280;
const MARGIN = { left: 44, right: 16, top: 36, bottom: 48 };

const words = {
  zh: {
    score: '评分随时间的变化',
    threshold: '阈值',
    preliminary: '空心：机器所得，医师尚未确认',
    none: '没有可显示的评分。',
    caution: '未经批准不得用于临床。',
  },
  en: {
    score: 'Score over time',
    threshold: 'threshold',
    preliminary: 'hollow: machine-made, no physician has decided',
    none: 'There is no score to show.',
    caution: 'Not for clinical use without approval.',
  },
};

/** What is drawn, and what its values can be. */
export interface Charted {
  /** The score's name. */
  title: string;
  /** UCUM code. */
  unit: string;
  minimum?: number | undefined;
  maximum?: number | undefined;
  integer?: boolean | undefined;
}

/**
 * The course of a score as SVG: a point a sample, hollow while it is preliminary, a line as long as the model's version stays the same, and the threshold where the
 * value has one. Shares are drawn over all that they can be, other values over what is there, from 0 on. It holds no script and loads nothing.
 */
export function courseChart(of: Charted, points: readonly CoursePoint[], language: 'zh' | 'en'): string {
  const { title } = of;
  const say = words[language];
  const times = points.map(({ effective }) => Date.parse(effective));
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const x = (i: number) =>
    MARGIN.left + (last === first ? 0.5 : (times[i]! - first) / (last - first)) * (WIDTH - MARGIN.left - MARGIN.right);
  const threshold = points.findLast((point) => point.threshold !== undefined)?.threshold;
  const ticks = ticksOf(
    of,
    points.flatMap((point) => [point.value, ...(threshold === undefined ? [] : [threshold])]),
  );
  const [least, most] = [ticks[0]!, ticks.at(-1)!];
  const y = (value: number) =>
    HEIGHT - MARGIN.bottom - ((value - least) / (most - least)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const parts = [
    text(MARGIN.left, 20, escaped(`${title}${unitOf(of)} · ${say.score}`), 'font-weight="600"'),
    ...ticks.map((value) => grid(y(value), String(value))),
    ...(threshold === undefined ? [] : [thresholdLine(y(threshold), `${say.threshold} ${threshold}`)]),
    ...lines(points, x, y),
    ...points.map((point, i) => dot(point, x(i), y(point.value))),
    ...datesOf(points, x),
    text(MARGIN.left, HEIGHT - 8, points.length === 0 ? say.none : `${say.preliminary} · ${say.caution}`, 'fill="#546e7a"'),
  ];
  const label = escaped(
    `${title}${unitOf(of)}: ${points.map((p) => `${p.effective.slice(0, 10)} ${p.value.toFixed(2)}`).join(', ')}`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="${label}" font-family="system-ui, Noto Sans CJK SC, sans-serif" font-size="12">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
${parts.join('\n')}
</svg>
`;
}

const unitOf = ({ unit }: Charted): string => (unit === '1' ? '' : ` (${unit})`);

const PARTS = 4;

/** Where lines are drawn, least and most included: round numbers, whole ones for a count. */
function ticksOf({ unit, minimum, maximum, integer }: Charted, values: readonly number[]): number[] {
  const isShare = maximum !== undefined && !integer && (unit === '1' || unit === '%');
  const least = Math.min(minimum ?? 0, 0, ...values);
  const most = isShare ? Math.max(maximum, ...values) : Math.max(integer ? PARTS : least + Number.MIN_VALUE, ...values);
  const step = roundUp((most - least) / PARTS, integer ?? false);
  const from = Math.floor(least / step);
  const count = Math.max(1, Math.ceil(most / step - 1e-9) - from);
  return Array.from({ length: count + 1 }, (_, i) => Number(((from + i) * step).toPrecision(6)));
}

/** The next larger of 1, 2, 2.5, 5 and their tens, hundreds, tenths; 1 where there is nothing to divide. */
function roundUp(step: number, integer: boolean): number {
  if (!(step > 1e-9)) return 1;
  const power = 10 ** Math.floor(Math.log10(step) + 1e-9);
  const rounded = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= step * (1 - 1e-9) && !(integer && n % 1 !== 0));
  return rounded ?? 10 * power;
}

const text = (x: number, y: number, content: string, more = ''): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${content}</text>`;

const grid = (at: number, label: string): string =>
  `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at.toFixed(1)}" y2="${at.toFixed(1)}" stroke="#dbe4e8"/>${text(MARGIN.left - 8, at + 4, label, 'text-anchor="end" fill="#546e7a"')}`;

const thresholdLine = (at: number, label: string): string =>
  `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at.toFixed(1)}" y2="${at.toFixed(1)}" stroke="#a3161c" stroke-dasharray="6 4"/>${text(WIDTH - MARGIN.right, at - 5, label, 'text-anchor="end" fill="#a3161c"')}`;

/** Neighbours are joined where one version of the model scored both. */
const lines = (points: readonly CoursePoint[], x: (i: number) => number, y: (value: number) => number): string[] =>
  points
    .slice(1)
    .flatMap((point, i) =>
      points[i]!.device === point.device
        ? [
            `<line x1="${x(i).toFixed(1)}" y1="${y(points[i]!.value).toFixed(1)}" x2="${x(i + 1).toFixed(1)}" y2="${y(point.value).toFixed(1)}" stroke="#1b5e7a" stroke-width="2"/>`,
          ]
        : [],
    );

const dot = (point: CoursePoint, x: number, y: number): string =>
  `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="5" stroke="#1b5e7a" stroke-width="2" fill="${point.status === 'preliminary' ? '#fff' : '#1b5e7a'}"><title>${escaped(`${point.effective} ${point.value} ${point.method} (${point.status})`)}</title></circle>`;

/** Dates under the points, as far as they don't run into each other. */
function datesOf(points: readonly CoursePoint[], x: (i: number) => number): string[] {
  let free = Number.NEGATIVE_INFINITY;
  return points.flatMap((point, i) => {
    const at = Math.min(Math.max(x(i), MARGIN.left + 20), WIDTH - MARGIN.right - 32);
    if (at < free) return [];
    free = at + 78;
    return [text(at, HEIGHT - MARGIN.bottom + 18, escaped(point.effective.slice(0, 10)), 'text-anchor="middle" fill="#546e7a"')];
  });
}

const escaped = (value: string): string =>
  value.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
