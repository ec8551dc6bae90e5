export type LineKind = 'add' | 'remove' | 'place' | 'file' | 'same';

/** What a line of a unified diff is. */
export function kindOf(line: string): LineKind {
  if (
    /^(diff |index |--- |\+\+\+ |new file|deleted file|rename |similarity )/.test(
      line
    )
  ) {
    return 'file';
  }
  const kinds: Record<string, LineKind> = {
    '+': 'add',
    '-': 'remove',
    '@': 'place'
  };
  return kinds[line[0] ?? ''] ?? 'same';
}
