import { describe, expect, it } from 'vitest';

import { Feed } from '../src/shared/feed';

interface IItem {
  readonly id: string;
  readonly text?: string;
}

function feedOf(...ids: string[]): Feed<IItem> {
  const feed = new Feed<IItem>();
  feed.take(items(...ids));
  return feed;
}

function items(...ids: string[]): IItem[] {
  return ids.map(id => ({ id }));
}

const shown = (feed: Feed<IItem>) => feed.items.map(({ id }) => id).join(' ');

describe('a feed that nobody reads', () => {
  it('shows what is new at once', () => {
    const feed = feedOf('b', 'a');
    feed.take(items('c', 'b', 'a'));
    expect(shown(feed)).toBe('c b a');
    expect(feed.waiting).toBe(0);
  });
});

describe('a feed that is read', () => {
  it('keeps its lines in their places, and counts what waits above', () => {
    const feed = feedOf('b', 'a');
    feed.hold(true);
    feed.take(items('d', 'c', 'b', 'a'));
    expect(shown(feed)).toBe('b a');
    expect(feed.waiting).toBe(2);
    feed.take(items('e', 'd', 'c', 'b', 'a'));
    expect(feed.waiting).toBe(3);
  });

  it('brings its lines up to date where they are', () => {
    const feed = feedOf('b', 'a');
    feed.hold(true);
    feed.take([{ id: 'c' }, { id: 'b', text: 'done' }, { id: 'a' }]);
    expect(feed.items).toEqual([{ id: 'b', text: 'done' }, { id: 'a' }]);
  });

  it('keeps a line that the server no longer lists', () => {
    const feed = feedOf('b', 'a');
    feed.hold(true);
    feed.take(items('d', 'c', 'b'));
    expect(shown(feed)).toBe('b a');
    feed.take(items('f', 'e', 'd', 'c'));
    expect(shown(feed)).toBe('b a');
    expect(feed.waiting).toBe(4);
  });

  it('lets older ones follow at the end', () => {
    const feed = feedOf('c', 'b');
    feed.hold(true);
    feed.take(items('d', 'c', 'b', 'a'));
    expect(shown(feed)).toBe('c b a');
    expect(feed.waiting).toBe(1);
  });

  it('lets in what waits when asked to, and goes on waiting', () => {
    const feed = feedOf('a');
    feed.hold(true);
    feed.take(items('b', 'a'));
    feed.release();
    expect(shown(feed)).toBe('b a');
    expect(feed.waiting).toBe(0);
    feed.take(items('c', 'b', 'a'));
    expect(shown(feed)).toBe('b a');
    expect(feed.waiting).toBe(1);
  });

  it('lets in what waits when the reader goes away', () => {
    const feed = feedOf('a');
    feed.hold(true);
    feed.take(items('b', 'a'));
    feed.hold(false);
    expect(shown(feed)).toBe('b a');
  });

  it('shows the first ones although the pointer is there', () => {
    const feed = new Feed<IItem>();
    feed.hold(true);
    feed.take(items('a'));
    expect(shown(feed)).toBe('a');
  });
});
