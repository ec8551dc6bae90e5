import { describe, expect, it } from 'vitest';

import { Tidier, postprocess } from '../src/ai/tidy/postprocess';
import { trimOverlap } from '../src/ai/text';
import cases from './postprocess.json';

interface ICase {
  readonly name: string;
  readonly prefix: string;
  readonly suffix: string;
  readonly raw: string;
  readonly expected: string;
  readonly language?: string;
}

/** What is shown after each piece of an answer, and when it was said to be over. */
function shownFor({ prefix, suffix, raw, language }: ICase, size: number) {
  const tidier = new Tidier({ prefix, suffix, language });
  const shown: string[] = [];
  for (let end = size; end < raw.length + size; end += size) {
    const { text, ended } = tidier.tidy(raw.slice(0, end), end >= raw.length);
    shown.push(trimOverlap(text, suffix));
    if (ended) {
      break;
    }
  }
  return shown;
}

describe('an answer', () => {
  it.each(cases as ICase[])('$name', one => {
    const { prefix, suffix, raw, language, expected } = one;
    expect(postprocess(raw, prefix, suffix, language)).toBe(expected);
  });
});

describe('an answer that streams', () => {
  it.each(cases as ICase[])('$name', one => {
    for (const size of [1, 3, 7]) {
      const shown = shownFor(one, size);
      for (const [index, text] of shown.entries()) {
        expect(
          text.startsWith(shown[index - 1] ?? ''),
          `${JSON.stringify(shown[index - 1])} was taken back: ${JSON.stringify(text)}`
        ).toBe(true);
      }
      expect(shown.at(-1) ?? '').toBe(one.expected);
    }
  });

  it('takes nothing back, wherever a text is cut in two and however it ends', () => {
    for (const one of cases as ICase[]) {
      const text = `${one.prefix}${one.raw}\n${one.suffix}`.slice(0, 300);
      for (let at = 0; at < text.length; at += 5) {
        const end = at + (text.length - at) / 2;
        const shown = shownFor(
          {
            ...one,
            prefix: text.slice(0, at),
            raw: text.slice(at, end),
            suffix: text.slice(end)
          },
          2
        );
        shown.forEach((now, index) => {
          const before = shown[index - 1] ?? '';
          expect(now.slice(0, before.length)).toBe(before);
        });
      }
    }
  });

  it('without end is told to stop', () => {
    const tidier = new Tidier({ prefix: 'x = 1\n', suffix: '' });
    expect(tidier.tidy('y = 2\n'.repeat(5), false)).toEqual({
      text: 'y = 2',
      ended: true
    });
  });

  it.each([
    ['the next cell', 'x = 1\n', '', 'y = 2\n# In[3]:'],
    ['a control token', 'x = ', '', '1<|endoftext|>'],
    ['the next line', 'a\n', '\nprint(a)\n', 'b()\nprint(a)\n'],
    ['a second line where one is wanted', 'f(', ')', 'x\ny']
  ])('that comes to %s is told to stop', (_, prefix, suffix, raw) => {
    expect(new Tidier({ prefix, suffix }).tidy(raw, false).ended).toBe(true);
  });
});
