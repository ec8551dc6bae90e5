import { describe, expect, it } from 'vitest';

import {
  cellsAsContext,
  normalise,
  tail,
  trimOverlap,
  untilNextWord
} from '../src/ai/text';

describe('tail', () => {
  it('keeps a short text whole and a long one within the limit', () => {
    expect(tail('abc', 10)).toBe('abc');
    expect(tail('x'.repeat(1000), 100).length).toBeLessThanOrEqual(100);
  });

  it('starts at a line', () => {
    const text = 'first line\nsecond line\nthird line\nfourth line';
    expect(text.slice(text.length - tail(text, 30).length - 1)[0]).toBe('\n');
  });

  it('stays put while a few keys are typed', () => {
    const text = 'line of text\n'.repeat(100);
    const before = tail(`${text}a`, 400);
    expect(tail(`${text}ab`, 400)).toBe(`${before}b`);
  });
});

describe('untilNextWord', () => {
  it('leaves the space to the word that comes', () => {
    expect(untilNextWord('x = ')).toBe('x =');
    expect(untilNextWord('if x:\n    ')).toBe('if x:\n   ');
    expect(untilNextWord('x =')).toBe('x =');
    expect(untilNextWord('')).toBe('');
  });
});

describe('trimOverlap', () => {
  it.each([
    ['what follows the cursor is not repeated', 'x)', ')', 'x'],
    ['only the same line counts', 'x)', '\n)', 'x)'],
    ['a bracket opened in the suggestion stays', '(1)', ')', '(1)'],
    ['a quote opened in the suggestion stays', '"a"', '"', '"a"'],
    ['a closing quote goes', 'hello"', '")', 'hello'],
    ['the longest overlap goes', 'upby("x")', 'upby("x")', ''],
    ['blank space at the end goes', 'a = 1  \n\n', '', 'a = 1'],
    ['nothing in common: nothing goes', 'abc', 'xyz', 'abc']
  ])('%s', (_, text, suffix, shown) => {
    expect(trimOverlap(text, suffix)).toBe(shown);
  });
});

describe('normalise', () => {
  it('knows one kind of line end, as the editor does', () => {
    expect(normalise('a\r\nb\rc\n\ufffd')).toBe('a\nb\nc\n\ufffd');
  });
});

describe('cellsAsContext', () => {
  it('keeps cells in order, the nearest first when room is short', () => {
    expect(cellsAsContext(['a = 1', 'b = 2'], 100)).toBe('a = 1\n\nb = 2\n\n');
    expect(cellsAsContext(['a = 1', 'b = 2'], 8)).toBe('b = 2\n\n');
  });

  it('keeps the imports of a cell that does not fit', () => {
    const first = `import numpy as np\n${'x = 1\n'.repeat(50)}`;
    expect(cellsAsContext([first, 'b = 2'], 60)).toBe(
      'import numpy as np\n\nb = 2\n\n'
    );
  });

  it('tells nothing when told to', () => {
    expect(cellsAsContext(['a = 1'], 0)).toBe('');
  });
});
