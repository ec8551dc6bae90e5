import type { Axis, ICurve, IPoints } from '../wire';

interface IPoint {
  readonly x: number;
  readonly y: number | null;
  readonly min: number | null;
  readonly max: number | null;
  readonly step: number;
  readonly time: number;
}

/** A curve with the points that came in since; itself where it has all of them. */
export function appended(
  curve: ICurve,
  points: IPoints,
  axis: Axis,
  startMs: number | null
): ICurve {
  const last = curve.x.length - 1;
  const [lastStep, lastTime] = [curve.step[last], curve.time_ms[last]];
  // The answer to a question may hold already what is told of at the same time.
  const isKnown = (step: number, time: number) =>
    lastStep !== undefined &&
    lastTime !== undefined &&
    (time < lastTime || (time === lastTime && step <= lastStep));
  // Where time begins is the server's matter: the first point tells.
  const zero =
    axis === 'relative' && curve.x.length > 0
      ? curve.time_ms[0]! - curve.x[0]!
      : (startMs ?? points.time_ms[0] ?? 0);
  const news: IPoint[] = points.x.flatMap((step, index) => {
    const [time, y] = [points.time_ms[index]!, points.y[index] ?? null];
    const x =
      axis === 'step'
        ? step
        : axis === 'time'
          ? time
          : Math.max(0, time - zero);
    return isKnown(step, time) ? [] : { x, y, min: y, max: y, step, time };
  });
  if (news.length === 0) {
    return curve;
  }
  const isInOrder = [
    curve.x[last] ?? -Infinity,
    ...news.map(({ x }) => x)
  ].every((x, index, all) => index === 0 || x >= all[index - 1]!);
  const all = isInOrder
    ? news
    : [...pointsOf(curve), ...news].sort((a, b) => a.x - b.x);
  const from = isInOrder ? curve : null;
  const bad = news.filter(({ y }) => y === null).length;
  return {
    ...curve,
    x: [...(from?.x ?? []), ...all.map(({ x }) => x)],
    y: [...(from?.y ?? []), ...all.map(({ y }) => y)],
    min: [...(from?.min ?? []), ...all.map(({ min }) => min)],
    max: [...(from?.max ?? []), ...all.map(({ max }) => max)],
    step: [...(from?.step ?? []), ...all.map(({ step }) => step)],
    time_ms: [...(from?.time_ms ?? []), ...all.map(({ time }) => time)],
    total: curve.total + news.length,
    not_finite: curve.not_finite + bad
  };
}

function pointsOf(curve: ICurve): IPoint[] {
  return curve.x.map((x, index) => ({
    x,
    y: curve.y[index] ?? null,
    min: curve.min[index] ?? null,
    max: curve.max[index] ?? null,
    step: curve.step[index]!,
    time: curve.time_ms[index]!
  }));
}
