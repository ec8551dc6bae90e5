import { YCodeCell, YFile, YNotebook } from '@jupyter/ydoc';
import { describe, expect, it, vi } from 'vitest';
import * as Y from 'yjs';

import { differ } from '../src/actions/diff';
import type { ICellLike } from '../src/actions/once';
import { follow, keepCellsOnce, madeTwice } from '../src/actions/once';
import { writeHunks } from '../src/actions/steps';
import { settled } from './fakes';

describe('a place in a text', () => {
  const place = { start: 4, text: 'new\n' };

  it('moves with what changes before it', () => {
    expect(follow([place], [{ insert: 'ab' }]).places).toEqual([
      { start: 6, text: 'new\n' }
    ]);
    expect(follow([place], [{ retain: 1 }, { delete: 2 }]).places).toEqual([
      { start: 2, text: 'new\n' }
    ]);
    expect(follow([place], [{ retain: 8 }, { insert: 'x' }]).places).toEqual([
      place
    ]);
  });

  it('is none once somebody changes it', () => {
    for (const delta of [
      [{ retain: 5 }, { insert: 'x' }],
      [{ retain: 5 }, { delete: 1 }],
      [{ retain: 2 }, { delete: 3 }],
      [{ retain: 4 }, { insert: 'new\n' }, { delete: 4 }]
    ]) {
      const { places, twice } = follow([place], delta);
      expect([...places, ...twice]).toEqual([]);
    }
  });

  it('is there twice where the same comes right before it', () => {
    const same = [{ retain: 4 }, { insert: 'new\n' }];
    expect(follow([place], same).twice).toEqual([{ start: 8, text: 'new\n' }]);
    for (const delta of [
      [{ retain: 8 }, { insert: 'new\n' }],
      [{ retain: 3 }, { insert: 'new\n' }],
      [{ retain: 4 }, { insert: 'old\n' }]
    ]) {
      expect(follow([place], delta).twice).toEqual([]);
    }
  });
});

/** Two people's copies of a document, and what brings each what the other one wrote. */
function pair<T extends { readonly ydoc: Y.Doc }>(make: () => T) {
  const [a, b] = [make(), make()];
  const meet = async () => {
    const [first, second] = [a, b].map(({ ydoc }) =>
      Y.encodeStateAsUpdate(ydoc)
    );
    Y.applyUpdate(a.ydoc, second!);
    Y.applyUpdate(b.ydoc, first!);
    await settled();
  };
  return { a, b, meet };
}

describe('what two accept in the same instant', () => {
  it.each([
    ['a line', 'a\nb\nc', 'a\nB\nc'],
    ['several', 'a\nb\nc\nd', 'A\nb\nC\nd'],
    ['a new line', 'a\nc', 'a\nb\nc'],
    ['all', 'a', 'x\ny'],
    ['the last line', 'a\nb', 'a\nc'],
    ['one that goes', 'a\nb\nc', 'a\nc']
  ])('is there once: %s', async (_, before, after) => {
    for (let times = 0; times < 6; times++) {
      const { a, b, meet } = pair(() => new YFile());
      a.setSource(before);
      await meet();
      for (const one of [a, b]) {
        writeHunks(one, differ(before, after));
      }
      await meet();
      await meet();
      expect([a.getSource(), b.getSource()]).toEqual([after, after]);
    }
  });

  it('is there once in a notebook, too', async () => {
    // Yjs warns of cells that the notebook makes and then puts into its list.
    vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    for (let times = 0; times < 6; times++) {
      const { a, b, meet } = pair(() => new YNotebook());
      a.insertCell(0, { cell_type: 'code', source: 'x' });
      await meet();
      for (const one of [a, b]) {
        const made = one.insertCells(0, [
          { cell_type: 'markdown', source: '# A' },
          { cell_type: 'code', source: 'y' }
        ]);
        keepCellsOnce(one, new Set(made.map(({ id }) => id)));
        expect(one.cells[0]).not.toBeInstanceOf(YCodeCell);
      }
      await meet();
      await meet();
      for (const one of [a, b]) {
        const sources = one.cells.map(cell => cell.getSource());
        expect([...sources].sort()).toEqual(['# A', 'x', 'y']);
        expect(sources[2]).toBe('x');
      }
    }
  });
});

describe('a new cell', () => {
  const cell = (id: string, source: string): ICellLike => ({
    id,
    cell_type: 'code',
    getSource: () => source
  });

  it('is mine alone unless the same stands before it', () => {
    const before = new Set(['old']);
    const mine = new Set(['mine']);
    const twice = (...cells: readonly ICellLike[]) =>
      madeTwice(cells, mine, before);
    const [old, ours] = [cell('old', 'x'), cell('mine', 'x')];
    expect(twice(cell('theirs', 'x'), ours, old)).toEqual(['mine']);
    expect(twice(ours, cell('theirs', 'x'), old)).toEqual([]);
    expect(twice(cell('theirs', 'y'), ours)).toEqual([]);
    expect(twice(old, ours)).toEqual([]);
    expect(twice(cell('theirs', 'x'), old, ours)).toEqual([]);
  });
});
