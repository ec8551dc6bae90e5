import type { TranslationBundle } from '@jupyterlab/translation';

import type { Format } from '../shared/format';
import type { IRow, RunStatus, Value } from './wire';

/** How a run is, as it is shown. */
export type RunState =
  'running' | 'scheduled' | 'finished' | 'failed' | 'stopped' | 'diverged';

type IStateful = Pick<IRow, 'status' | 'diverged'>;

/** A metric that is no number any more is what matters most of a run that is not over, or ended well. */
export function stateOf({ status, diverged }: IStateful): RunState {
  return diverged && status !== 'FAILED' && status !== 'KILLED'
    ? 'diverged'
    : STATES[status];
}

const STATES: Readonly<Record<RunStatus, RunState>> = {
  RUNNING: 'running',
  SCHEDULED: 'scheduled',
  FINISHED: 'finished',
  FAILED: 'failed',
  KILLED: 'stopped'
};

/** Its sign, beside which its name is said or shown. */
export function stateSign(state: RunState): string {
  switch (state) {
    case 'running':
      return '●';
    case 'scheduled':
      return '○';
    case 'finished':
      return '✔';
    case 'failed':
      return '✖';
    case 'stopped':
      return '■';
    case 'diverged':
      return '▲';
  }
}

export function stateName(state: RunState, trans: TranslationBundle): string {
  switch (state) {
    case 'running':
      return trans.__('running');
    case 'scheduled':
      return trans.__('scheduled');
    case 'finished':
      return trans.__('finished');
    case 'failed':
      return trans.__('failed');
    case 'stopped':
      return trans.__('stopped');
    case 'diverged':
      return trans.__('diverged');
  }
}

/** All there is to say of how a run is. */
export function stateTitle(
  row: Pick<IRow, 'status' | 'diverged' | 'ended'>,
  trans: TranslationBundle
): string {
  const state = stateOf(row);
  return [
    stateName(state, trans),
    row.diverged ? trans.__('a metric is no finite number') : '',
    state === 'diverged' && row.status === 'RUNNING'
      ? trans.__('still running')
      : '',
    row.ended ?? ''
  ]
    .filter(Boolean)
    .join(' · ');
}

export function isOver({ status }: Pick<IRow, 'status'>): boolean {
  return status !== 'RUNNING' && status !== 'SCHEDULED';
}

/** A metric with what can be read at a glance, so that numbers of a column stand below each other. */
export function metricText(value: Value | string | null | undefined): string {
  if (value === null || value === undefined) {
    return '—';
  }
  if (typeof value === 'string') {
    return value === 'Infinity' ? '∞' : value === '-Infinity' ? '−∞' : value;
  }
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) {
    const [digits, power] = value.toExponential(2).split('e');
    return minus(`${Number(digits)}e${Number(power)}`);
  }
  if (Number.isInteger(value)) {
    return minus(String(value));
  }
  const digits = size < 1 ? 4 : size < 10 ? 3 : size < 100 ? 2 : 1;
  return minus(value.toFixed(digits));
}

function minus(text: string): string {
  return text.replace(/^-/, '−').replace('e-', 'e−');
}

/** How long a run took or takes, as a clock shows it: `2:14`, `1:02:14`. */
export function clockText(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  return hours > 0
    ? `${hours}:${two(minutes)}:${two(s % 60)}`
    : `${minutes}:${two(s % 60)}`;
}

/** How long it took; null where it never started or its end is not known. */
export function tookMs(
  { start_ms, end_ms, status }: Pick<IRow, 'start_ms' | 'end_ms' | 'status'>,
  now: number
): number | null {
  if (start_ms === null) {
    return null;
  }
  const end = end_ms ?? (status === 'RUNNING' ? now : null);
  // The clocks of two machines differ.
  return end === null ? null : Math.max(0, end - start_ms);
}

/** When it was: "now 2:14" while it runs, else how long ago it started. */
export function whenText(
  row: Pick<IRow, 'start_ms' | 'end_ms' | 'status'>,
  now: number,
  format: Format
): string {
  if (row.start_ms === null) {
    return '—';
  }
  return row.status === 'RUNNING'
    ? clockText(now - row.start_ms)
    : format.ago(new Date(row.start_ms).toISOString(), now);
}

/** Where it was made: "analysis.ipynb › cell 7". */
export function cellText(
  { cell }: Pick<IRow, 'cell'>,
  trans: TranslationBundle
): string {
  if (!cell) {
    return '';
  }
  const name = cell.notebook.slice(cell.notebook.lastIndexOf('/') + 1);
  return cell.count === null
    ? name
    : trans.__('%1 › [%2]', name, String(cell.count));
}

/** A name as one line: what would break it or hide in it is shown by a sign. */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, sign =>
    sign === '\n' ? '␤' : sign === '\t' ? '␉' : sign === '\r' ? '␍' : '�'
  );
}
