/** Stands for what was left out of a text. */
const GAP = '\n…\n';

/**
 * A text of at most `limit` characters: its beginning and its end, two thirds and a third. No character is cut into
 * halves, and a text of any length costs the same.
 */
export function cut(text: string, limit: number): string {
  if (text.length <= limit) {
    return text;
  }
  const room = Math.max(0, limit - GAP.length);
  const tail = Math.floor(room / 3);
  const head = text.slice(0, room - tail).replace(/[\ud800-\udbff]$/, '');
  const end = text.slice(text.length - tail).replace(/^[\udc00-\udfff]/, '');
  return `${head}${GAP}${tail ? end : ''}`;
}
