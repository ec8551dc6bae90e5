import type { ICodeCellModel } from '@jupyterlab/cells';

import { cut } from './cut';
import type { IOutputSaid } from './wire';

/** How much of one output is told, and how many outputs of a cell. */
const CHARACTERS = 2000;
const FIRST = 3;
const LAST = 5;
/** How many frames of a traceback. */
const ENTRIES = 50;

/** Escape sequences of terminals: colours, cursor movements, links, titles. */
const ANSI =
  // eslint-disable-next-line no-control-regex
  /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;

/** What of an output is read: never a copy of the whole, which may be of many megabytes. */
interface IReadable {
  toJSON(): object;
}

/** A cell's outputs in short: of many the first and the last ones. */
export function outputsSaid(
  outputs: Pick<ICodeCellModel['outputs'], 'length'> & {
    get(index: number): IReadable;
  }
): IOutputSaid[] {
  const said: IOutputSaid[] = [];
  for (let i = 0; i < outputs.length; i++) {
    if (i === FIRST && outputs.length > FIRST + LAST) {
      i = outputs.length - LAST;
    }
    said.push(outputSaid(outputs.get(i)));
  }
  return said.filter(({ kind, text }) => text !== '' || kind !== 'text');
}

/** One output in short text. */
export function outputSaid(output: IReadable): IOutputSaid {
  // The bundle in it is the model's own, not a copy.
  const { output_type, text, data, ename, evalue, traceback } =
    output.toJSON() as Record<string, unknown>;
  if (output_type === 'stream') {
    return { kind: 'text', text: short(text) };
  }
  if (output_type === 'error') {
    return {
      kind: 'error',
      text:
        short(traceback) || `${plain(ename, 200)}: ${plain(evalue, CHARACTERS)}`
    };
  }
  return bundleSaid((data ?? {}) as Record<string, unknown>);
}

function bundleSaid(data: Record<string, unknown>): IOutputSaid {
  const types = Object.keys(data);
  const text = short(data['text/plain']);
  const image = types.find(type => type.startsWith('image/'));
  if (image) {
    return { kind: 'image', text: text ? `${image}: ${text}` : image };
  }
  // A data frame's table begins after some lines of style.
  if (/<table\b/i.test(plain(data['text/html'], CHARACTERS))) {
    return { kind: 'table', text };
  }
  if (text) {
    return { kind: 'text', text };
  }
  const words = short(data['text/markdown'] ?? data['text/latex']);
  return words
    ? { kind: 'text', text: words }
    : { kind: 'other', text: types.join(', ').slice(0, CHARACTERS) };
}

/** A text without colours, cut in its middle: how it ends often matters most. */
function short(value: unknown): string {
  // Room for the escape sequences, which go.
  const room = plain(value, 2 * CHARACTERS);
  return cut(room.replace(ANSI, '').trimEnd(), CHARACTERS);
}

/** A text, or the entries of a traceback, at most so many characters. */
function plain(value: unknown, limit: number): string {
  if (typeof value === 'string') {
    return cut(value, limit);
  }
  if (!Array.isArray(value)) {
    return '';
  }
  const entries = value
    .slice(-ENTRIES)
    .map(entry => (typeof entry === 'string' ? cut(entry, limit) : ''));
  return cut(entries.join('\n'), limit);
}
