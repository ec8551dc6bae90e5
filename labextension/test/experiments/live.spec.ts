import { ServerConnection } from '@jupyterlab/services';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { ExperimentsLive } from '../../src/experiments/live';
import { row } from './fakes';

/** The other end of a websocket. */
class FakeSocket {
  static all: FakeSocket[] = [];

  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }

  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  sent: unknown[] = [];
  isClosed = false;

  send(data: string): void {
    this.sent.push(JSON.parse(data));
  }

  close(): void {
    this.isClosed = true;
    this.onclose?.();
  }

  say(event: unknown): void {
    this.onmessage?.({ data: JSON.stringify(event) });
  }
}

function setup() {
  FakeSocket.all = [];
  const live = new ExperimentsLive(
    ServerConnection.makeSettings({
      wsUrl: 'ws://lab.test/user/ana/',
      token: 'a b',
      appendToken: true,
      WebSocket: FakeSocket as unknown as typeof WebSocket
    })
  );
  return { live, sockets: FakeSocket.all };
}

describe('the websocket', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it('is opened when somebody wants to hear of something, and closed when nobody does', () => {
    const { live, sockets } = setup();
    vi.advanceTimersByTime(5_000);
    expect(sockets).toHaveLength(0);
    live.watch('panel', { experiments: ['1'] });
    vi.advanceTimersByTime(100);
    expect(sockets[0]!.url).toBe(
      'ws://lab.test/user/ana/aidp/experiments/live?token=a%20b'
    );
    live.watch('panel', null);
    vi.advanceTimersByTime(100);
    expect(sockets[0]!.isClosed).toBe(true);
    vi.advanceTimersByTime(60_000);
    expect(sockets).toHaveLength(1);
  });

  it('joins what all parts of the page wish for, and says it once', () => {
    const { live, sockets } = setup();
    live.watch('side', { experiments: ['1'], columns: ['metrics.a'] });
    live.watch('tab', { experiments: ['1', '2'], runs: ['r'] });
    live.watch('notebook', { cells: ['a.ipynb'] });
    vi.advanceTimersByTime(100);
    const [socket] = sockets;
    socket!.onopen!();
    const watch = {
      experiments: ['1', '2'],
      runs: ['r'],
      columns: ['metrics.a'],
      cells: ['a.ipynb']
    };
    expect(socket!.sent).toEqual([{ watch }]);
    live.watch('side', { experiments: ['1'], columns: ['metrics.a'] });
    vi.advanceTimersByTime(100);
    expect(socket!.sent).toHaveLength(1);
  });

  it('tells each thing to those who listen for it', () => {
    const { live, sockets } = setup();
    const heard: unknown[] = [];
    live.runs.connect((_, news) => heard.push(['runs', news.rows.length]));
    live.points.connect((_, news) => heard.push(['points', news.y]));
    live.ended.connect((_, ended) => heard.push(['ended', ended.id]));
    live.tracking.connect((_, { state }) => heard.push(['tracking', state]));
    live.resync.connect(() => heard.push(['resync']));
    live.watch('panel', { experiments: ['1'] });
    vi.advanceTimersByTime(100);
    const [socket] = sockets;
    socket!.onopen!();
    const runs = { experiment: '1', rows: [row()], removed: [], version: '' };
    socket!.say({ kind: 'runs', ...runs });
    socket!.say({ kind: 'points', run: 'r', metric: 'a', y: [1, null] });
    socket!.say({ kind: 'ended', row: row({ id: 'r' }) });
    socket!.say({ kind: 'tracking', state: { state: 'ready' } });
    socket!.say({ kind: 'resync' });
    socket!.say({ kind: 'of a newer server' });
    expect(heard).toEqual([
      ['runs', 1],
      ['points', [1, null]],
      ['ended', 'r'],
      ['tracking', 'ready'],
      ['resync']
    ]);
  });

  it('comes back after a break, later each time, and says that something may have been missed', () => {
    const { live, sockets } = setup();
    const resync = vi.fn();
    live.resync.connect(resync);
    live.watch('panel', { experiments: ['1'] });
    vi.advanceTimersByTime(100);
    sockets[0]!.onopen!();
    expect(resync).not.toHaveBeenCalled();
    sockets[0]!.onclose!();
    expect(live.isConnected).toBe(false);
    vi.advanceTimersByTime(1_300);
    expect(sockets).toHaveLength(2);
    sockets[1]!.onclose!();
    vi.advanceTimersByTime(1_300);
    expect(sockets).toHaveLength(2);
    vi.advanceTimersByTime(1_300);
    expect(sockets).toHaveLength(3);
    sockets[2]!.onopen!();
    expect(sockets[2]!.sent).toHaveLength(1);
    expect(resync).toHaveBeenCalledOnce();
  });
});
