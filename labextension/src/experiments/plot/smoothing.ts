/**
 * - `time`: an exponential moving average whose weight follows the distance of the points on the x axis, so that
 *   curves with many points and with few are smoothed alike, whatever the server thinned out: what W&B calls "time
 *   weighted EMA" (https://docs.wandb.ai/guides/app/features/panels/line-plot/smoothing/).
 * - `count`: the exponential moving average of TensorBoard, from point to point, freed of its bias to zero
 *   (`resmoothDataset` in tensorboard/components/vz_line_chart2/line-chart.ts, Apache-2.0).
 */
export type SmoothingKind = 'time' | 'count';

export interface ISmoothing {
  readonly kind: SmoothingKind;
  /** 0 for none, up to 0.999. */
  readonly weight: number;
}

type Numbers = readonly (number | null)[];

/** In how many parts W&B divides the x axis: the weight holds for one of them. */
const PARTS = 1000;
const MOST = 0.999;

/** Smooth a curve; a gap stays a gap and changes nothing of what follows. `range` is the width of the x axis. */
export function smooth(
  x: readonly number[],
  y: Numbers,
  { kind, weight }: ISmoothing,
  range: number
): (number | null)[] {
  if (weight <= 0 || isConstant(y)) {
    return [...y];
  }
  return kind === 'time'
    ? byDistance(x, y, Math.min(Math.sqrt(weight), MOST), range)
    : byCount(y, Math.min(weight, MOST));
}

function byDistance(
  x: readonly number[],
  y: Numbers,
  weight: number,
  range: number
): (number | null)[] {
  let sum = 0;
  let bias = 0;
  let last = x[0] ?? 0;
  return y.map((value, index) => {
    if (value === null) {
      return null;
    }
    const moved = range > 0 ? ((x[index]! - last) / range) * PARTS : 1;
    const kept = Math.pow(weight, Math.max(0, moved));
    last = x[index]!;
    sum = sum * kept + value;
    bias = bias * kept + 1;
    return sum / bias;
  });
}

function byCount(y: Numbers, weight: number): (number | null)[] {
  let last = 0;
  let count = 0;
  return y.map(value => {
    if (value === null) {
      return null;
    }
    last = last * weight + (1 - weight) * value;
    count++;
    return last / (1 - Math.pow(weight, count));
  });
}

/** The rounding of an average would make a flat line rough. */
function isConstant(y: Numbers): boolean {
  const first = y.find(one => one !== null);
  return y.every(one => one === null || one === first);
}
