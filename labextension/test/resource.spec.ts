import { describe, expect, it } from 'vitest';

import { AidpError } from '../src/shared/request';
import { Resource } from '../src/shared/resource';
import { settled } from './fakes';

/** A resource whose answers are given by hand. */
function setup() {
  const asked: {
    readonly signal: AbortSignal;
    readonly answer: (value: number) => void;
    readonly fail: (error: Error) => void;
  }[] = [];
  const resource = new Resource<number>(
    signal =>
      new Promise((answer, fail) => asked.push({ signal, answer, fail }))
  );
  let changes = 0;
  resource.changed.connect(() => changes++);
  return { asked, resource, changes: () => changes };
}

describe('Resource', () => {
  it('holds what the server said, and tells', async () => {
    const { asked, resource, changes } = setup();
    const loaded = resource.load();
    expect(resource.value).toBeNull();
    asked[0]!.answer(1);
    await loaded;
    expect(resource.value).toBe(1);
    expect(changes()).toBe(1);
  });

  it('keeps what it knows when a later question fails', async () => {
    const { asked, resource } = setup();
    void resource.load();
    asked[0]!.answer(1);
    await settled();
    void resource.load();
    asked[1]!.fail(new AidpError('offline_server', 'Gone.'));
    await settled();
    expect(resource.value).toBe(1);
    expect(resource.error?.message).toBe('Gone.');
  });

  it('asks one at a time, and once more for all who asked meanwhile', async () => {
    const { asked, resource } = setup();
    void resource.load();
    const second = resource.load();
    const third = resource.load();
    expect(asked).toHaveLength(1);
    asked[0]!.answer(1);
    await settled();
    expect(asked).toHaveLength(2);
    asked[1]!.answer(2);
    await Promise.all([second, third]);
    expect(resource.value).toBe(2);
    expect(asked).toHaveLength(2);
  });

  it('does not hear an answer older than what was set', async () => {
    const { asked, resource } = setup();
    const loaded = resource.load();
    resource.set(5);
    expect(asked[0]!.signal.aborted).toBe(true);
    asked[0]!.answer(1);
    await loaded;
    expect(resource.value).toBe(5);
  });

  it('aborts its question when it is disposed of, and asks no more', async () => {
    const { asked, resource } = setup();
    void resource.load();
    resource.dispose();
    expect(asked[0]!.signal.aborted).toBe(true);
    asked[0]!.fail(new Error('aborted'));
    await settled();
    await resource.load();
    expect(asked).toHaveLength(1);
    expect(resource.error).toBeNull();
  });
});
