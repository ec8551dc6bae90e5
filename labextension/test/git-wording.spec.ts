import { describe, expect, it } from 'vitest';

import {
  aheadBehind,
  announcement,
  branchFor,
  changeSize,
  changeTitle,
  forgeAddress,
  halves,
  isLarge,
  place,
  plan,
  titleAndBody,
  visible
} from '../src/git/wording';
import { Format } from '../src/shared/format';
import { trans } from './fakes';
import { change, finding, job, state } from './git-fakes';

const format = new Format(trans);

describe('a change', () => {
  it.each([
    [change({ added: 18, removed: 4 }), '+18 −4'],
    [change({ added: 18, removed: 0 }), '+18'],
    [
      change({ summary: '3 cells · outputs 4.2 MB' }),
      '3 cells · outputs 4.2 MB'
    ],
    [change({ added: null, removed: null, size: 214_000_000 }), '214 MB'],
    [change({ added: null, removed: null, size: null }), ''],
    [change({ submodule: true }), 'submodule']
  ])('is as much as %o', (one, words) => {
    expect(changeSize(one, format, trans)).toBe(words);
  });

  it('is told in full in the tooltip', () => {
    const one = change({
      ...{ path: 'b.csv', old_path: 'a.csv', kind: 'renamed' },
      ...{ staged: 'partly', size: 6_000_000 }
    });
    expect(isLarge(one)).toBe(true);
    expect(changeTitle(one, format, trans)).toBe(
      'b.csv\nbefore: a.csv\nrenamed · +1\na part of it is chosen\nlarge: 6 MB'
    );
  });
});

describe('a path', () => {
  it.each([
    ['a.py', ['', 'a.py']],
    ['src/deep/a.py', ['src/deep/', 'a.py']],
    ['data/raw/', ['data/', 'raw/']],
    [
      'data/a-very-long-name-of-a-notebook.ipynb',
      ['data/a-very-long-name-of-a', '-notebook.ipynb'.slice(1)]
    ]
  ])('gives way in the middle: %s', (path, parts) => {
    const [head, tail] = halves(path);
    expect(head + tail).toBe(path);
    if (parts[1] !== 'notebook.ipynb') {
      expect([head, tail]).toEqual(parts);
    } else {
      expect(tail.endsWith('.ipynb')).toBe(true);
      expect(tail.length).toBeLessThanOrEqual(24);
    }
  });

  it('is one line whatever its name is', () => {
    expect(visible('a\nb\tc\u0000')).toBe('a␤b␉c�');
    expect(halves('x\ny.py').join('')).toBe('x␤y.py');
  });
});

describe('a finding', () => {
  it.each([
    [finding({ path: 'a.ipynb', cell: 5, line: 2 }), 'a.ipynb, cell 5'],
    [finding({ line: 12 }), 'a.py, line 12'],
    [finding({ line: null }), 'a.py']
  ])('is somewhere', (one, words) => {
    expect(place(one, trans)).toBe(words);
  });
});

describe('a job', () => {
  it('is announced by its step, by what failed, and by its end', () => {
    expect(announcement(job({}, 'done', 'running'), trans)).toBe(
      'Commit: under way'
    );
    expect(
      announcement(job({ state: 'failed' }, 'done', 'done', 'failed'), trans)
    ).toBe('Push: It moved.');
    expect(announcement(job({ state: 'done' }, 'done'), trans)).toBe('Shipped');
    expect(announcement(job({ state: 'interrupted' }, 'done'), trans)).toBe(
      'Interrupted: it can go on from here'
    );
  });

  it('is planned on the button', () => {
    const all = { branch: true, commit: true, push: true } as const;
    expect(plan({ ...all, request: 'new' }, trans)).toBe(
      'new branch → commit → push → pull request'
    );
    expect(plan({ ...all, branch: false, request: 'open' }, trans)).toBe(
      'commit → push'
    );
  });
});

describe('a branch', () => {
  it.each([
    ['feat(prep): impute age by title', 'feat/impute-age-by-title'],
    ['Fix!: Ünïcode, and more…\n\nbody', 'fix/unicode-and-more'],
    ['Just words', 'just-words'],
    ['-x', 'x'],
    ['  ', ''],
    ['…', '']
  ])('is named after "%s"', (message, name) => {
    expect(branchFor(message)).toBe(name);
  });

  it('says how it stands to its remote one', () => {
    expect(aheadBehind(state({ ahead: 2, behind: 1 }), trans)).toBe(
      'Against origin/feature/age:\n2 commits to push\n1 commit to pull'
    );
    expect(aheadBehind(state({ upstream: null }), trans)).toMatch(/not on a/);
    expect(aheadBehind(state({ upstream: null, remotes: [] }), trans)).toMatch(
      /no remote/
    );
  });
});

it('the first line of a text is its title', () => {
  expect(titleAndBody('\n## Title: Age \n\nBy title.\n')).toEqual({
    title: 'Age',
    body: 'By title.'
  });
  expect(titleAndBody('')).toEqual({ title: '', body: '' });
});

it('a repository has an address on its forge, where it is on one', () => {
  expect(forgeAddress(state())).toBe('https://github.com/ana/titanic');
  expect(forgeAddress(state({ remotes: [] }))).toBeNull();
});
