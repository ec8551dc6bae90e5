import type { Kind } from './columns';
import { split } from './columns';

/** Which runs are quickly asked for. */
export const FACETS = ['running', 'finished', 'failed', 'diverged'] as const;
export type Facet = (typeof FACETS)[number];

const FACET_FILTERS: Readonly<Record<Facet, string>> = {
  running: "attributes.status = 'RUNNING'",
  finished: "attributes.status = 'FINISHED'",
  failed: "attributes.status IN ('FAILED', 'KILLED')",
  diverged: "attributes.diverged = 'true'"
};

/** A cell whose runs are shown only. */
export interface IOfCell {
  readonly notebook: string;
  readonly cell_id: string;
}

/** What a list is narrowed down to, beside what the user wrote. */
export interface INarrowed {
  readonly facet: Facet | null;
  readonly cell: IOfCell | null;
  readonly hidden: readonly string[];
}

/** All of it in MLflow's search syntax, which knows no brackets: each part is joined by AND, the user's first. */
export function wholeFilter(text: string, narrowed: INarrowed): string {
  const { facet, cell, hidden } = narrowed;
  return [
    asFilter(text),
    facet ? FACET_FILTERS[facet] : '',
    cell ? `tags.\`aidp.notebook\` = ${literal(cell.notebook)}` : '',
    cell ? `tags.\`aidp.cell.id\` = ${literal(cell.cell_id)}` : '',
    hidden.length > 0
      ? `attributes.run_id NOT IN (${hidden.map(literal).join(', ')})`
      : ''
  ]
    .filter(Boolean)
    .join(' AND ');
}

/** What the user wrote: a filter, or words that are looked for in names. */
export function asFilter(text: string): string {
  const words = text.trim();
  return !words || isFilter(words)
    ? text.trimEnd()
    : `attributes.run_name ILIKE ${literal(`%${words}%`)}`;
}

/** Whether a text is a filter, if a wrong one; else it is words. */
export function isFilter(text: string): boolean {
  return /[=<>!`]|^\s*(metrics?|params?|parameters?|tags?|attributes?|attr|run)\.|\s(LIKE|ILIKE|IN|IS|NOT)\s/i.test(
    text
  );
}

/** A text as MLflow's search syntax has it, which knows no escapes: one kind of quotation mark must be free. */
export function literal(text: string): string {
  return text.includes("'") ? `"${text.replaceAll('"', '')}"` : `'${text}'`;
}

/** What comes where the cursor is. */
export interface ISituation {
  readonly expects: 'key' | 'operator' | 'value' | 'and';
  /** What is already there of it. */
  readonly word: string;
  /** Where that begins and ends. */
  readonly from: number;
  readonly to: number;
  /** The key of the comparison, for its operators and values. */
  readonly key: string;
}

interface IToken {
  readonly text: string;
  readonly from: number;
  readonly to: number;
}

/** Names may hold a quoted part; a quotation that is not closed goes to the end. */
const TOKEN =
  /'[^']*'?|"[^"]*"?|[<>=!]+|[(),]|[^\s<>=!(),'"`]*`[^`]*`?|[^\s<>=!(),'"`]+\."[^"]*"?|[^\s<>=!(),'"`]+/g;

function tokens(text: string): IToken[] {
  return [...text.matchAll(TOKEN)].map(({ 0: found, index }) => ({
    text: found,
    from: index,
    to: index + found.length
  }));
}

/** What is expected at the cursor of a filter that may be half written. */
export function situation(text: string, cursor: number): ISituation {
  let expects: ISituation['expects'] = 'key';
  let key = '';
  let depth = 0;
  for (const token of tokens(text)) {
    if (token.from >= cursor) {
      break;
    }
    if (token.to >= cursor && isOpen(token.text)) {
      const { from, to } = token;
      return { expects, word: text.slice(from, cursor), from, to, key };
    }
    const word = token.text.toUpperCase();
    if (token.text === '(') {
      depth++;
    } else if (token.text === ')') {
      depth = 0;
      expects = 'and';
    } else if (expects === 'key') {
      key = token.text;
      expects = 'operator';
    } else if (expects === 'operator') {
      // "NOT" is followed by IN or LIKE.
      expects = word === 'NOT' ? 'operator' : 'value';
    } else if (expects === 'value') {
      const isGoing = depth > 0 || (word === 'NOT' && !isQuoted(word));
      expects = isGoing ? 'value' : 'and';
    } else if (word === 'AND') {
      expects = 'key';
    }
  }
  return { expects, word: '', from: cursor, to: cursor, key };
}

/** Whether what is at the cursor goes on there: a word does, what is closed does not. */
function isOpen(text: string): boolean {
  return !/^(['"]).*\1$|^[(),]$/s.test(text);
}

function isQuoted(text: string): boolean {
  return /^['"]/.test(text);
}

/** Whether a filter breaks off in the middle: it is being written. */
export function isHalfWritten(text: string): boolean {
  if (!isFilter(text)) {
    return false;
  }
  const end = text.trimEnd();
  const { expects, word } = situation(`${end} `, end.length + 1);
  const last = tokens(end).at(-1)?.text ?? '';
  const isUnclosed = /^['"]/.test(last) && (last.length < 2 || isOpen(last));
  return isUnclosed || (expects !== 'and' && (end !== '' || word !== ''));
}

/** What can be written at the cursor. */
export interface IProposal {
  readonly text: string;
  readonly detail: string;
}

const NUMBER_OPERATORS = ['>', '>=', '<', '<=', '=', '!='];
const TEXT_OPERATORS = ['=', '!=', 'LIKE', 'ILIKE', 'IN'];
const ATTRIBUTES = [
  'run_name',
  'status',
  'start_time',
  'end_time',
  'user_id',
  'run_id'
];
const STATUSES = ['RUNNING', 'FINISHED', 'FAILED', 'KILLED', 'SCHEDULED'];

const KINDS: Readonly<Record<string, Kind | 'attributes'>> = {
  m: 'metrics',
  p: 'params',
  t: 'tags',
  a: 'attributes',
  r: 'attributes'
};

/** The kind of a key of a filter, as far as it is written, and its name. */
export function keyOf(
  word: string
): readonly [Kind | 'attributes' | '', string] {
  const [, kind = '', name = word] =
    /^(metrics?|params?|parameters?|tags?|attributes?|attr|run)\.(.*)$/is.exec(
      word
    ) ?? [];
  const bare = name.replace(/^[`"]|[`"]$/g, '');
  const found = KINDS[kind.charAt(0).toLowerCase()];
  return [found ?? '', bare];
}

/** What may follow, without what has to be asked of the server. */
export function fixedProposals({
  expects,
  key,
  word
}: ISituation): readonly string[] {
  const begins = (all: readonly string[]) =>
    all.filter(one => one.toLowerCase().startsWith(word.toLowerCase()));
  const [kind, name] = keyOf(expects === 'key' ? word : key);
  switch (expects) {
    case 'key':
      return kind === 'attributes' || kind === ''
        ? ATTRIBUTES.filter(one => one.includes(name.toLowerCase())).map(
            one => `attributes.${one}`
          )
        : [];
    case 'operator':
      return begins(
        kind === 'metrics' || /_time$/.test(name)
          ? NUMBER_OPERATORS
          : TEXT_OPERATORS
      );
    case 'value':
      return kind === 'attributes' && name === 'status'
        ? STATUSES.map(literal).filter(one =>
            one.toLowerCase().includes(word.replace(/^'/, '').toLowerCase())
          )
        : [];
    case 'and':
      return begins(['AND']);
  }
}

/** A filter with a proposal in it, and where the cursor is then. */
export function accepted(
  text: string,
  { from, to }: Pick<ISituation, 'from' | 'to'>,
  proposal: string
): readonly [string, number] {
  const rest = text.slice(to);
  const written = `${proposal}${rest.startsWith(' ') ? '' : ' '}`;
  return [
    text.slice(0, from) + written + rest,
    from + proposal.length + 1
  ] as const;
}

/** Whether a column's key is one that a filter can name. */
export function canFilter(key: string): boolean {
  return split(key)[0] !== 'fact';
}
