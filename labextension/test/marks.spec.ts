import { describe, expect, it } from 'vitest';

import { marked, texts } from '../src/ai/panel/marks';

describe('marked', () => {
  it('cuts a text at its placeholders', () => {
    expect(
      marked("key = '<KEY_1>' # <MAIL_1>", ['<KEY_1>', '<MAIL_1>'])
    ).toEqual([
      { text: "key = '", isMark: false },
      { text: '<KEY_1>', isMark: true },
      { text: "' # ", isMark: false },
      { text: '<MAIL_1>', isMark: true }
    ]);
  });

  it('takes the longer of two that begin alike', () => {
    const pieces = marked('KEY_10 KEY_1', ['KEY_1', 'KEY_10']);
    expect(pieces.filter(({ isMark }) => isMark)).toEqual([
      { text: 'KEY_10', isMark: true },
      { text: 'KEY_1', isMark: true }
    ]);
  });

  it.each(['[KEY](1)', '$KEY^', 'a.b*c', '\\KEY'])('takes %s as it is', one => {
    expect(marked(`x${one}y`, [one])[1]).toEqual({ text: one, isMark: true });
  });

  it('leaves a text without placeholders whole', () => {
    expect(marked('abc', ['', 'KEY'])).toEqual([
      { text: 'abc', isMark: false }
    ]);
    expect(marked('', [])).toEqual([]);
  });
});

describe('texts', () => {
  it.each<[string, unknown, string[]]>([
    [
      'a chat',
      {
        model: 'm',
        messages: [
          { role: 'system', content: 'a' },
          { role: 'user', content: [{ type: 'text', text: 'b' }] }
        ]
      },
      ['a', 'b']
    ],
    [
      'messages',
      { system: 'a', messages: [{ role: 'user', content: 'b' }] },
      ['a', 'b']
    ],
    ['a completion', { prompt: 'a', suffix: 'b' }, ['a', 'b']],
    ['embeddings', { input: ['a', 'b'] }, ['a', 'b']],
    ['nothing', null, []]
  ])('of %s', (_, body, found) => {
    expect(texts(body)).toEqual(found);
  });
});
