import { describe, expect, it } from 'vitest';

import { differ } from '../src/actions/diff';
import type { IHunk } from '../src/actions/hunks';
import { apply, edits, rebase } from '../src/actions/hunks';

/** What an editor makes of edits of one text. */
function edited(text: string, hunks: readonly IHunk[]): string {
  return edits(text, hunks)
    .reverse()
    .reduce(
      (all, { start, end, text: piece }) =>
        all.slice(0, start) + piece + all.slice(end),
      text
    );
}

/** Repeatable chance: the same texts in each run. */
function* texts(seed: number): Generator<string, never> {
  let state = seed;
  const chance = (below: number) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * below);
  };
  for (;;) {
    const lines = Array.from(
      { length: chance(7) },
      () => ['', 'a', 'b = 1', '😀', 'return'][chance(5)]!
    );
    yield lines.join('\n') + ['', '\n', '\n\n'][chance(3)]!;
  }
}

describe('hunks', () => {
  it.each([
    ['a', 'b'],
    ['', 'a'],
    ['a', ''],
    ['a\nb\nc', 'a\nc'],
    ['a\nb', 'a'],
    ['a\nb', 'b'],
    ['a', 'a\nb'],
    ['a', 'b\na'],
    ['a\n', 'a'],
    ['a', 'a\n'],
    ['a\nb\n', 'a\nb\n\n'],
    ['a\r\nb', 'a\r\nc'],
    ['שלום\nb', 'שלום\nc']
  ])('take %j to %j, also as edits', (before, after) => {
    const hunks = differ(before, after);
    expect(apply(before, hunks)).toBe(after);
    expect(edited(before, hunks)).toBe(after);
    expect(apply(before, [])).toBe(before);
    expect(edits(before, [])).toEqual([]);
  });

  it('take any text to any other, in whichever part of them', () => {
    const source = texts(7);
    for (let round = 0; round < 500; round++) {
      const [before, after] = [source.next().value, source.next().value];
      const hunks = differ(before, after);
      expect(apply(before, hunks)).toBe(after);
      const some = hunks.filter((_, index) => (index + round) % 2);
      expect(edited(before, some)).toBe(apply(before, some));
    }
  });

  it('are none for the same text', () => {
    expect(differ('a\nb', 'a\nb')).toEqual([]);
  });

  it('leave alone what stands between them', () => {
    const before = 'one\ntwo\nthree\nfour\nfive';
    const hunks = differ(before, 'ONE\ntwo\nthree\nfour\nFIVE');
    expect(edits(before, hunks)).toEqual([
      { start: 0, end: 4, text: 'ONE\n' },
      { start: 19, end: 23, text: 'FIVE' }
    ]);
  });

  it('compare two large texts that have nothing in common', () => {
    const before = Array.from({ length: 5000 }, (_, i) => `a${i}`).join('\n');
    const after = Array.from({ length: 5000 }, (_, i) => `b${i}`).join('\n');
    expect(apply(before, differ(before, after))).toBe(after);
  });
});

describe('rebase', () => {
  const base = 'a\nb\nc\nd\ne';

  it('moves a hunk along with lines that came before it', () => {
    const theirs = 'new\nnew\na\nb\nc\nd\ne';
    const hunks = differ(base, 'a\nb\nc\nD\ne');
    const moved = rebase(hunks, differ(base, theirs))!;
    expect(apply(theirs, moved)).toBe('new\nnew\na\nb\nc\nD\ne');
  });

  it('moves only those after a change', () => {
    const theirs = 'a\nb\ne';
    const hunks = differ(base, 'A\nb\nc\nd\nE');
    const moved = rebase(hunks, differ(base, theirs))!;
    expect(apply(theirs, moved)).toBe('A\nb\nE');
  });

  it('refuses where both changed the same line', () => {
    const hunks = differ(base, 'a\nb\nC\nd\ne');
    expect(rebase(hunks, differ(base, 'a\nb\nsee\nd\ne'))).toBeNull();
    expect(rebase(hunks, differ(base, ''))).toBeNull();
  });

  it('refuses where both put something into the same place', () => {
    const hunks = differ(base, 'a\nb\nmine\nc\nd\ne');
    expect(rebase(hunks, differ(base, 'a\nb\ntheirs\nc\nd\ne'))).toBeNull();
  });

  it('keeps what else is known of a hunk', () => {
    const [hunk] = differ(base, 'a\nb\nC\nd\ne');
    expect(rebase([{ ...hunk!, verdict: 'accepted' }], [])).toEqual([
      { ...hunk, verdict: 'accepted' }
    ]);
  });
});
