/** The part of a name before its first slash. */
export function groupOf(metric: string): string {
  const at = metric.indexOf('/');
  return at > 0 ? metric.slice(0, at) : '';
}

/** Metrics by their groups; a group of one is none. */
export function grouped(
  metrics: readonly string[]
): (readonly [string, readonly string[]])[] {
  const groups = new Map<string, string[]>();
  for (const metric of metrics) {
    const name = groupOf(metric);
    groups.set(name, [...(groups.get(name) ?? []), metric]);
  }
  return [...groups].sort(([a], [b]) => a.localeCompare(b));
}

/** Metrics whose names hold all of the words. */
export function search(
  metrics: readonly string[],
  words: string
): readonly string[] {
  const wanted = words.trim().toLowerCase().split(/\s+/);
  return metrics.filter(metric => {
    const name = metric.toLowerCase();
    return wanted.every(word => name.includes(word));
  });
}

/** The set with the name in it, or without. */
export function toggled(
  set: ReadonlySet<string>,
  name: string,
  isIn: boolean
): ReadonlySet<string> {
  const after = new Set(set);
  if (isIn) {
    after.add(name);
  } else {
    after.delete(name);
  }
  return after;
}
