import type { TranslationBundle } from '@jupyterlab/translation';

import type { Format } from '../shared/format';
import type { IGpus, ILease } from './wire';

/** A lease with less than this left is nearly over. */
export const NEARLY_MS = 15 * 60_000;

export interface IWords {
  readonly trans: TranslationBundle;
  readonly format: Format;
}

/** The status bar's line: what the server has, or waits for. */
export function line(
  { lease, place, now_ms }: IGpus,
  { trans, format }: IWords
): string {
  if (lease && !lease.is_held) {
    return trans.__('GPU · free for you');
  }
  if (lease) {
    const end = lease.ends_ms ?? lease.until_ms;
    if (lease.ends_ms !== null) {
      return trans.__('GPU · ends in %1', left(end, now_ms, format));
    }
    return end > now_ms
      ? trans.__('GPU · %1 left', left(end, now_ms, format))
      : trans.__('GPU');
  }
  return place
    ? trans.__('GPU · %1 in line', ordinal(place.position, trans))
    : trans.__('No GPU');
}

/** The same in a sentence or two, for the popup. */
export function sentence(gpus: IGpus, words: IWords): string {
  const { lease, place } = gpus;
  const { trans } = words;
  if (lease && !lease.is_held) {
    return trans.__(
      'A GPU is kept for you until %1. Stop your server, and start it with a GPU.',
      clock(lease.until_ms, gpus.now_ms)
    );
  }
  if (lease) {
    return lease.ends_ms !== null
      ? ending(lease, gpus.now_ms, words)
      : held(lease, gpus.now_ms, words);
  }
  if (place) {
    const position = ordinal(place.position, trans);
    return place.turn_ms === null
      ? trans.__('You are %1 in line.', position)
      : trans.__(
          'You are %1 in line; your turn comes about %2.',
          position,
          clock(place.turn_ms, gpus.now_ms)
        );
  }
  return trans.__('This server was started without a GPU.');
}

/** Why the server is to be stopped, and when. */
export function ending(
  lease: ILease,
  nowMs: number,
  { trans }: IWords
): string {
  const when = clock(lease.ends_ms ?? lease.until_ms, nowMs);
  return lease.is_idle
    ? trans.__(
        'Your GPU does nothing, and somebody waits for it. Your server is stopped about %1: save your work, or let the GPU work.',
        when
      )
    : trans.__(
        'Your time with the GPU is over, and somebody waits for it. Your server is stopped about %1: save your work.',
        when
      );
}

function held(lease: ILease, nowMs: number, { trans }: IWords): string {
  if (lease.until_ms <= nowMs) {
    return trans.__(
      'Your time with the GPU is over. You keep it until somebody waits.'
    );
  }
  const when = clock(lease.until_ms, nowMs);
  return lease.is_wanted
    ? trans.__('Yours until %1; somebody waits for it.', when)
    : trans.__('Yours until %1, and longer if nobody waits.', when);
}

/** All GPUs of the hub in one line. */
export function overview(
  { gpus, waiting, now_ms }: IGpus,
  { trans }: IWords
): string {
  const free = gpus.filter(gpu => gpu.is_free).length;
  const parts = [
    free
      ? trans.__('%1 of %2 free', free, gpus.length)
      : trans._n('%1 GPU in use', '%1 GPUs in use', gpus.length)
  ];
  const [only] = gpus;
  if (!free && only?.user && gpus.length === 1) {
    parts[0] =
      only.until_ms !== null && only.until_ms > now_ms
        ? trans.__(
            'In use by %1 until about %2',
            only.user,
            clock(only.until_ms, now_ms)
          )
        : trans.__('In use by %1', only.user);
  }
  if (waiting) {
    parts.push(trans._n('%1 waits', '%1 wait', waiting));
  }
  return parts.join(' · ');
}

/** Whether it is time to say that the lease is nearly over. */
export function isNearlyOver(lease: ILease, nowMs: number): boolean {
  return lease.is_held && lease.is_wanted && lease.until_ms - nowMs < NEARLY_MS;
}

export function ordinal(number: number, trans: TranslationBundle): string {
  const rest = number % 100;
  if (rest < 11 || rest > 13) {
    switch (number % 10) {
      case 1:
        return trans.__('%1st', number);
      case 2:
        return trans.__('%1nd', number);
      case 3:
        return trans.__('%1rd', number);
    }
  }
  return trans.__('%1th', number);
}

function left(end: number, now: number, format: Format): string {
  return format.until(new Date(end).toISOString(), now);
}

/** By the clock of whoever reads it, though the two clocks may differ. */
function clock(time: number, now: number): string {
  const here = new Date(Date.now() + time - now);
  const isToday = here.toDateString() === new Date().toDateString();
  return here.toLocaleString([], {
    ...(isToday ? {} : { weekday: 'short' }),
    hour: '2-digit',
    minute: '2-digit'
  });
}
