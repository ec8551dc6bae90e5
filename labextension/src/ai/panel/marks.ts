/** A piece of a text: a placeholder that stands for what was replaced, or what is between. */
export interface IPiece {
  readonly text: string;
  readonly isMark: boolean;
}

/** Cut a text at its placeholders. */
export function marked(
  text: string,
  placeholders: readonly string[]
): readonly IPiece[] {
  // The longest first: one may begin with another, as `<key-1>` and `<key-10` would without their ends.
  const wanted = [...new Set(placeholders.filter(Boolean))].sort(
    (one, other) => other.length - one.length
  );
  if (wanted.length === 0) {
    return text ? [{ text, isMark: false }] : [];
  }
  const any = wanted.map(one => one.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return text
    .split(new RegExp(`(${any.join('|')})`))
    .map((text, index) => ({ text, isMark: index % 2 === 1 }))
    .filter(({ text }) => text !== '');
}

/** The texts of a request in any of the dialects: its messages, or its prompt. */
export function texts(body: unknown): readonly string[] {
  const { messages, system, prompt, suffix, input } = (body ?? {}) as Record<
    string,
    unknown
  >;
  return [system, messages, prompt, suffix, input].flatMap(within);
}

function within(value: unknown): readonly string[] {
  if (typeof value === 'string') {
    return value ? [value] : [];
  }
  if (Array.isArray(value)) {
    return value.flatMap(within);
  }
  if (value && typeof value === 'object') {
    const { content, text } = value as Record<string, unknown>;
    return [content, text].flatMap(within);
  }
  return [];
}
