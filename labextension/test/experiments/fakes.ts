import { vi } from 'vitest';

import type { IRow } from '../../src/experiments/wire';

export function row(news: Partial<IRow> = {}): IRow {
  return {
    id: 'r1',
    name: 'brave-elk',
    experiment_id: '1',
    status: 'RUNNING',
    stage: 'active',
    start_ms: 1_000,
    end_ms: null,
    user: 'ana',
    values: {},
    cell: null,
    commit: null,
    dirty: null,
    diverged: false,
    ended: null,
    ...news
  };
}

/** Let answers come, and some time pass. */
export async function settle(ms = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}
