import { describe, expect, it } from 'vitest';

import { Format } from '../src/shared/format';
import { trans } from './fakes';

const format = new Format(trans);

describe('money', () => {
  it.each([
    [0, '$0'],
    [20, '$20'],
    [1.84, '$1.84'],
    [0.5, '$0.50'],
    [1.999, '$2.00'],
    [0.0042, '$0.0042'],
    [0.00421, '$0.0042'],
    [0.004, '$0.0040'],
    [0.042, '$0.042'],
    [0.02, '$0.02'],
    [0.0999, '$0.10'],
    [0.00999, '$0.01'],
    [0.0000012, '$0.0000012'],
    [1234.5, '$1,234.50']
  ])('%d is %s', (usd, words) => {
    expect(format.money(usd)).toBe(words);
  });

  it('is written as the language does', () => {
    expect(new Format(trans, 'de_DE').money(0.0042)).toBe('0,0042\u00a0$');
  });

  it('takes a language that the browser does not know for English', () => {
    expect(new Format(trans, 'xx_YY').money(1.5)).toBe('$1.50');
  });
});

describe('sizes', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [2148, '2.1 kB'],
    [21_480, '21 kB'],
    [999_950, '1 MB'],
    [4_700_000_000, '4.7 GB']
  ])('%d bytes are %s', (bytes, words) => {
    expect(format.bytes(bytes)).toBe(words);
  });

  it.each([
    [38, '38'],
    [1234, '1.2k'],
    [24_210, '24k'],
    [1_500_000, '1.5M']
  ])('%d tokens are %s', (tokens, words) => {
    expect(format.count(tokens)).toBe(words);
  });

  it.each([
    [2048, '2k'],
    [8192, '8k'],
    [131_072, '128k'],
    [128_000, '128k'],
    [200_000, '200k'],
    [1_048_576, '1M'],
    [1_000_000, '1M']
  ])('a context of %d tokens is %s', (tokens, words) => {
    expect(format.context(tokens)).toBe(words);
  });
});

describe('a share', () => {
  it.each([
    [0, '0%'],
    [0.81, '81%'],
    [1, '100%'],
    [0.999, '99%'],
    [0.001, '1%']
  ])('of %d is %s', (share, words) => {
    expect(format.percent(share)).toBe(words);
  });
});

describe('durations', () => {
  it.each([
    [0, '0 ms'],
    [231, '231 ms'],
    [999.7, '1 s'],
    [4210, '4.2 s'],
    [12_400, '12 s'],
    [125_000, '2 min 5 s']
  ])('%d ms are %s', (ms, words) => {
    expect(format.duration(ms)).toBe(words);
  });
});

describe('times', () => {
  const now = Date.parse('2026-11-21T12:00:00Z');
  const at = (seconds: number) => new Date(now + seconds * 1000).toISOString();

  it.each([
    [0, 'now'],
    [30, 'now'], // the server's clock is ahead
    [-2, '2 s'],
    [-59, '59 s'],
    [-60, '1 min'],
    [-3599, '59 min'],
    [-7200, '2 h'],
    [-3 * 86_400, '3 d']
  ])('%d s from now were %s ago', (seconds, words) => {
    expect(format.ago(at(seconds), now)).toBe(words);
  });

  it('says it as a part of a sentence', () => {
    expect(format.agoInWords(at(0), now)).toBe('just now');
    expect(format.agoInWords(at(-180), now)).toBe('3 min ago');
  });

  it.each([
    [-5, '1 s'],
    [45, '45 s'],
    [100, '2 min'],
    [10 * 86_400 - 300, '10 d'],
    [3599, '1 h'],
    [86_399, '1 d']
  ])('what is %d s from now comes in %s', (seconds, words) => {
    expect(format.until(at(seconds), now)).toBe(words);
  });
});
