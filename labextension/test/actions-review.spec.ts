import { describe, expect, it } from 'vitest';

import { differ } from '../src/actions/diff';
import { apply } from '../src/actions/hunks';
import { Review } from '../src/actions/review';
import type { IChange } from '../src/actions/wire';

const CHANGE: IChange = {
  kind: 'replace',
  source: '',
  original: '',
  cell: 'c',
  path: 'a.ipynb',
  cell_type: 'code',
  why: ''
};

function review(...changes: readonly Partial<IChange>[]): Review {
  return new Review(
    changes.map(change => ({ ...CHANGE, ...change })),
    differ
  );
}

const TWO = { original: 'a\nb\nc\nd\ne', source: 'A\nb\nc\nd\nE' };
const FILE: Partial<IChange> = {
  kind: 'create_file',
  cell: '',
  path: 'tests/test_a.py',
  source: 'def test():\n    pass\n'
};

function results(of: Review): string[] {
  return of.parts.map(part => apply(part.original, of.verdict(part)));
}

describe('Review', () => {
  it('counts the places of all changes, and leaves out changes that change nothing', () => {
    const one = review(TWO, { original: 'x', source: 'x' }, FILE);
    expect(one.parts).toHaveLength(2);
    expect(one.count).toBe(3);
    expect(one.open).toBe(3);
  });

  it('moves through all places, around the ends', () => {
    const one = review(TWO, FILE);
    const seen = [0, 1, 2, 3].map(() => {
      const { current, part } = one;
      one.move(1);
      return [current, part.change.kind];
    });
    expect(seen).toEqual([
      [0, 'replace'],
      [1, 'replace'],
      [2, 'create_file'],
      [0, 'replace']
    ]);
    one.move(-2);
    expect(one.current).toBe(2);
  });

  it('puts only what is accepted into the text, and goes on to the next open place', () => {
    const one = review(TWO, FILE);
    one.decide('rejected');
    expect(one.current).toBe(1);
    one.decide('accepted');
    expect(one.current).toBe(2);
    expect(results(one)).toEqual(['a\nb\nc\nd\nE', '']);
    one.decideRest('rejected');
    expect(one.open).toBe(0);
    expect(one.accepted).toBe(1);
    expect(results(one)).toEqual(['a\nb\nc\nd\nE', '']);
  });

  it('goes back for a place that was passed over', () => {
    const one = review(TWO);
    one.move(1);
    one.decide('accepted');
    expect(one.current).toBe(0);
    expect(one.open).toBe(1);
  });

  it('does not change its mind about places that are decided', () => {
    const one = review(TWO);
    one.decide('rejected');
    one.decideRest('accepted');
    expect(results(one)).toEqual(['a\nb\nc\nd\nE']);
  });

  it('shows what is accepted as there, what is open as a change, and nothing of what is rejected', () => {
    const one = review({
      original: 'a\nb\nc\nd\ne\nf\ng',
      source: 'A\nmore\nb\nc\nD\ne\nf\nG'
    });
    one.decide('accepted');
    one.decide('rejected');
    expect(one.view(one.part)).toEqual({
      before: 'A\nmore\nb\nc\nd\ne\nf\ng',
      after: 'A\nmore\nb\nc\nd\ne\nf\nG',
      from: 7,
      to: 8
    });
  });

  it('finds the place at a line', () => {
    const one = review(TWO);
    expect(one.pick(2)).toBe(false);
    expect(one.pick(4)).toBe(true);
    expect(one.current).toBe(1);
    expect(one.pick(4)).toBe(false);
  });

  it('follows a text that changed elsewhere, with all that was decided', () => {
    const one = review(TWO);
    one.decide('rejected');
    expect(one.follow(one.parts[0]!, 'a\nb\nnew\nc\nd\ne')).toBe(true);
    one.decide('accepted');
    expect(results(one)).toEqual(['a\nb\nnew\nc\nd\nE']);
  });

  it('does not follow a text that changed in the same place', () => {
    const one = review(TWO);
    expect(one.follow(one.parts[0]!, 'a\nb\nc\nd\nother')).toBe(false);
    expect(results(one)).toEqual(['a\nb\nc\nd\ne']);
  });
});
