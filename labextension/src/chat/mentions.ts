/** What can be mentioned, and how it begins. */
export const KINDS = ['file', 'cell', 'df', 'run'] as const;
export type MentionKind = (typeof KINDS)[number];

/** Its twin: aidp_ext/ai/chats/mentions.py. */
const MENTION =
  /(?<![\w@`])@(file|cell|df|run):(?:"([^"\n]{1,1000})"|([^\s"'`]{1,1000}))/g;
/** What ends a sentence or a bracket, and not a name. */
const AFTER = /[.,;:!?)\]}>…]+$/;
const MOST = 20;

/** The mentions of a message, as `kind:name`, each once, the first twenty. */
export function mentionsIn(body: string): string[] {
  const found = new Set<string>();
  for (const [, kind, quoted, bare] of body.matchAll(MENTION)) {
    const name = quoted ?? bare!.replace(AFTER, '');
    if (name && found.size < MOST) {
      found.add(`${kind}:${name}`);
    }
  }
  return [...found];
}

/** A mention as it is written, with quotes where its name has spaces. */
export function mention(kind: MentionKind, name: string): string {
  return /[\s'`]/.test(name) || AFTER.test(name)
    ? `@${kind}:"${name}"`
    : `@${kind}:${name}`;
}

/** Whether a name can be mentioned: what is written for it says it, and nothing beside. */
export function isMentionable(kind: MentionKind, name: string): boolean {
  return mentionsIn(mention(kind, name)).join('\n') === `${kind}:${name}`;
}

/** Mentions with the cells' ids in the place of their numbers; the first cell is 1. */
export function withCellIds(
  mentions: readonly string[],
  cells: readonly { readonly id: string }[]
): string[] {
  return mentions.map(one => {
    const number = /^cell:(\d+)$/.exec(one)?.[1];
    const id = number && cells[Number(number) - 1]?.id;
    return id && !cells.some(cell => `cell:${cell.id}` === one)
      ? `cell:${id}`
      : one;
  });
}
