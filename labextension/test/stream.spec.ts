import { describe, expect, it } from 'vitest';

import { events } from '../src/shared/stream';
import { chunks } from './fakes';

async function read(...parts: (string | Uint8Array)[]): Promise<string[]> {
  const seen: string[] = [];
  for await (const event of events(chunks(...parts).body)) {
    seen.push(event);
  }
  return seen;
}

describe('events', () => {
  it('reads an event however it is cut into chunks', async () => {
    const whole = 'data: {"a":1}\n\ndata: zwei\n\n';
    for (let cut = 1; cut < whole.length; cut++) {
      expect(await read(whole.slice(0, cut), whole.slice(cut))).toEqual([
        '{"a":1}',
        'zwei'
      ]);
    }
  });

  it('joins a character split over two chunks', async () => {
    const bytes = new TextEncoder().encode('data: é😀\n\n');
    for (let cut = 1; cut < bytes.length; cut++) {
      expect(await read(bytes.slice(0, cut), bytes.slice(cut))).toEqual([
        'é😀'
      ]);
    }
  });

  it.each([
    ['LF', '\n'],
    ['CR-LF', '\r\n'],
    ['CR', '\r']
  ])(
    'takes %s as the end of a line, also split over chunks',
    async (_, eol) => {
      const whole = `data: one${eol}data: two${eol}${eol}data: three${eol}${eol}`;
      for (let cut = 1; cut < whole.length; cut++) {
        expect(await read(whole.slice(0, cut), whole.slice(cut))).toEqual([
          'one\ntwo',
          'three'
        ]);
      }
    }
  );

  it('passes over comments, other fields and empty events', async () => {
    expect(
      await read(
        ': ping\n\nevent: x\nid: 7\ndata:tight\nretry: 5\n\n\n\ndata\n\n'
      )
    ).toEqual(['tight', '']);
  });

  it('takes away one leading space only', async () => {
    expect(await read('data:  two\n\n')).toEqual([' two']);
  });

  it('drops an event that the end cut off', async () => {
    expect(await read('data: whole\n\ndata: ha')).toEqual(['whole']);
    expect(await read('data: whole\n\ndata: half\n')).toEqual(['whole']);
  });

  it('cancels the body when the reader leaves early', async () => {
    const { body, isCancelled } = chunks('data: 1\n\n', 'data: 2\n\n');
    for await (const event of events(body)) {
      expect(event).toBe('1');
      break;
    }
    expect(isCancelled()).toBe(true);
  });

  it('passes on the error of a broken connection', async () => {
    const body = new ReadableStream<Uint8Array>({
      start: controller => controller.error(new TypeError('network error'))
    });
    await expect(events(body).next()).rejects.toThrow('network error');
  });
});
