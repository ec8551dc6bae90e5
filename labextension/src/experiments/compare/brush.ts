import type { IDimension, IScale } from './dimensions';

/** Of 0 to 1 on an axis: only runs between these are looked at. */
export type Brush = readonly [number, number];
export type Brushes = ReadonlyMap<string, Brush>;

/** Whether the run with this number is within all brushes. */
export function isInside(
  run: number,
  dimensions: readonly IDimension[],
  scales: ReadonlyMap<string, IScale>,
  brushes: Brushes
): boolean {
  return dimensions.every(({ id, values }) => {
    const brush = brushes.get(id);
    if (!brush) {
      return true;
    }
    const at = scales.get(id)!.at(values[run] ?? null);
    return at !== null && at >= brush[0] - 1e-9 && at <= brush[1] + 1e-9;
  });
}

/** The order with one of it moved by so many places. */
export function movedBy(
  order: readonly string[],
  id: string,
  by: number
): readonly string[] {
  const at = order.indexOf(id);
  const to = Math.min(order.length - 1, Math.max(0, at + by));
  if (at < 0 || to === at) {
    return order;
  }
  const rest = order.filter(one => one !== id);
  return [...rest.slice(0, to), id, ...rest.slice(to)];
}

/** The axes to begin with: the parameters that differ, then a few metrics that do. */
export function firstAxes(
  dimensions: readonly IDimension[],
  params = 6,
  metrics = 3
): readonly string[] {
  const differing = dimensions.filter(({ differs }) => differs);
  const of = (kind: string) =>
    differing.filter(({ id }) => id.startsWith(kind)).map(({ id }) => id);
  return [
    ...of('params.').slice(0, params),
    ...of('metrics.').slice(0, metrics)
  ];
}
