import { describe, expect, it } from 'vitest';

import {
  accepted,
  asFilter,
  fixedProposals,
  isHalfWritten,
  keyOf,
  literal,
  situation,
  wholeFilter
} from '../../src/experiments/list/filter';

const NOTHING = { facet: null, cell: null, hidden: [] };
/** What is expected at the mark. */
const at = (marked: string) => {
  const cursor = marked.indexOf('|');
  return situation(marked.replace('|', ''), cursor);
};

describe('what the user wrote', () => {
  it('is sent as it is where it is a filter', () => {
    expect(asFilter('metrics.loss < 0.3 ')).toBe('metrics.loss < 0.3');
    expect(asFilter("name = 'a'")).toBe("name = 'a'");
  });

  it('is a part of a name where it is none', () => {
    expect(asFilter(' brave elk ')).toBe(
      "attributes.run_name ILIKE '%brave elk%'"
    );
    expect(asFilter('')).toBe('');
  });

  it('stands before all else, so that the place of a fault is a place in it', () => {
    const filter = wholeFilter('metrics.a > 1', {
      facet: 'failed',
      cell: { notebook: "it's.ipynb", cell_id: 'c1' },
      hidden: ['r1', 'r2']
    });
    expect(filter).toBe(
      "metrics.a > 1 AND attributes.status IN ('FAILED', 'KILLED') AND " +
        'tags.`aidp.notebook` = "it\'s.ipynb" AND ' +
        "tags.`aidp.cell.id` = 'c1' AND attributes.run_id NOT IN ('r1', 'r2')"
    );
    expect(wholeFilter('', NOTHING)).toBe('');
  });
});

describe('what can follow', () => {
  it.each([
    ['|', 'key', ''],
    ['met|', 'key', 'met'],
    ['metrics.lo|', 'key', 'metrics.lo'],
    ['metrics.`val/lo|', 'key', 'metrics.`val/lo'],
    ['metrics.loss |', 'operator', ''],
    ['metrics.loss <|', 'operator', '<'],
    ['metrics.loss < |', 'value', ''],
    ["params.model = 'cn|", 'value', "'cn"],
    ["params.model = 'cnn'|", 'and', ''],
    ["params.model = 'cnn' |", 'and', ''],
    ["params.model = 'cnn' AND |", 'key', ''],
    ["params.model IN ('a', |", 'value', ''],
    ["params.model IN ('a') |", 'and', ''],
    ["params.model NOT IN ('a') AND tags.|", 'key', 'tags.'],
    ['params.x IS NOT NULL |', 'and', ''],
    ['metrics.a > 1 AND b|  AND c', 'key', 'b']
  ])('at %s is a %s', (marked, expects, word) => {
    expect(at(marked)).toMatchObject({ expects, word });
  });

  it('knows the comparisons of numbers and of texts', () => {
    expect(fixedProposals(at('metrics.a |'))).toContain('>=');
    expect(fixedProposals(at('params.a |'))).toEqual(
      expect.arrayContaining(['=', 'ILIKE'])
    );
    expect(fixedProposals(at('params.a |'))).not.toContain('>');
  });

  it('knows the states', () => {
    expect(fixedProposals(at('attributes.status = |'))).toContain("'RUNNING'");
    expect(fixedProposals(at("attributes.status = 'fa|"))).toEqual([
      "'FAILED'"
    ]);
  });

  it('takes the place of what is written of it, and leaves a space', () => {
    const text = 'metrics.lo < 3';
    expect(accepted(text, situation(text, 10), 'metrics.loss')).toEqual([
      'metrics.loss < 3',
      13
    ]);
  });

  it('reads a key with quotes', () => {
    expect(keyOf('metrics.`val/loss`')).toEqual(['metrics', 'val/loss']);
    expect(keyOf('attr.status')).toEqual(['attributes', 'status']);
    expect(keyOf('los')).toEqual(['', 'los']);
  });
});

describe('a filter that is being written', () => {
  it.each([
    'metrics.',
    'metrics.loss',
    'metrics.loss <',
    "params.a = 'x",
    'metrics.a < 1 AND',
    "params.a IN ('x',"
  ])('%s is not asked for yet', text => {
    expect(isHalfWritten(text)).toBe(true);
  });

  it.each(['', 'brave', 'metrics.a < 1', "params.a IN ('x')", "a != 'b' "])(
    '%s is',
    text => {
      expect(isHalfWritten(text)).toBe(false);
    }
  );
});

it('a text with a quotation mark is put in the other kind', () => {
  expect(literal('it\'s "so"')).toBe('"it\'s so"');
  expect(literal('a')).toBe("'a'");
});
