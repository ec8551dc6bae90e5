/** A cell, as far as it can be read. */
export interface ICellText {
  readonly type: string;
  readonly source: string;
  readonly output: string;
}

/** The cells of a notebook's file; null where it is none, or cut off. */
export function cellsIn(text: string): readonly ICellText[] | null {
  try {
    const { cells } = JSON.parse(text) as { cells?: Record<string, unknown>[] };
    return Array.isArray(cells)
      ? cells.map(cell => ({
          type: String(cell['cell_type']),
          source: joined(cell['source']),
          output: Array.isArray(cell['outputs'])
            ? (cell['outputs'] as Record<string, unknown>[])
                .map(outputText)
                .filter(Boolean)
                .join('\n')
            : ''
        }))
      : null;
  } catch {
    return null;
  }
}

function outputText(output: Record<string, unknown>): string {
  const data = output['data'] as Record<string, unknown> | undefined;
  return (
    joined(output['text']) ||
    joined(data?.['text/plain']) ||
    [output['ename'], output['evalue']].filter(Boolean).join(': ')
  );
}

function joined(text: unknown): string {
  return Array.isArray(text)
    ? text.map(String).join('')
    : typeof text === 'string'
      ? text
      : '';
}
