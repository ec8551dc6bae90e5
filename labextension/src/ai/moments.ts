/**
 * Moments of a suggestion, for the browser's own performance tools: a request goes out, its first word comes, it is
 * seen. `aidp:request`, `aidp:token`, `aidp:painted`; each name has one mark, the latest.
 */
export function mark(moment: 'request' | 'token' | 'painted'): void {
  const name = `aidp:${moment}`;
  performance.clearMarks(name);
  performance.mark(name);
}
