import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';

import type { Format } from '../shared/format';
import { CommandIDs } from './tokens';
import type { IRow } from './wire';
import { clockText, stateOf, tookMs, visible } from './wording';

/** Whose end a user wants to hear of. */
export type Notify = 'all' | 'long' | 'failed' | 'none';

/** A run of less than that is no surprise when it ends: one has waited for it. */
const LONG_MS = 10_000;
/** What ended before that is no news, whenever it is heard of. */
const OLD_MS = 120_000;
/** How many names are remembered, so that each end is said once. */
const MOST = 500;
/** What ends together is said together. */
const GATHER_MS = 600;
const FEW = 3;

export interface INotifyOptions {
  readonly commands: CommandRegistry;
  readonly format: Format;
  readonly trans: TranslationBundle;
  /** Whether the user sees this run's cell or row now. */
  readonly isSeen: (row: IRow) => boolean;
}

/** Says that a run is over, failed or diverged, where the user would not know it anyway. */
export class Notifier {
  constructor(private _options: INotifyOptions) {}

  wish: Notify = 'long';

  hear(row: IRow): void {
    const key = `${row.id} ${stateOf(row)}`;
    if (!this._isWanted(row) || this._said.has(key)) {
      return;
    }
    this._said.add(key);
    if (this._said.size > MOST) {
      this._said.delete(this._said.values().next().value!);
    }
    this._due.push(row);
    this._timer ??= setTimeout(() => this._tell(), GATHER_MS);
  }

  private _tell(): void {
    this._timer = null;
    const rows = this._due.splice(0);
    if (rows.length <= FEW) {
      rows.forEach(row => this._say(row));
      return;
    }
    const { commands, trans } = this._options;
    const bad = rows.filter(isBad).length;
    const words = trans._n('%1 run ended', '%1 runs ended', rows.length);
    const options = {
      autoClose: 10_000,
      actions: [
        {
          label: trans.__('Show'),
          callback: () => void commands.execute(CommandIDs.openPanel)
        }
      ]
    };
    if (bad > 0) {
      const of = trans.__('%1 of them failed or diverged', bad);
      Notification.warning(`${words}, ${of}`, options);
    } else {
      Notification.success(words, options);
    }
  }

  private _say(row: IRow): void {
    const state = stateOf(row);
    const { trans } = this._options;
    const name = visible(row.name).slice(0, 80);
    const took = tookMs(row, Date.now());
    const time = took === null ? '' : clockText(took);
    const options = { actions: this._actions(row), autoClose: 10_000 };
    switch (state) {
      case 'finished':
        Notification.success(
          trans.__('%1 finished after %2', name, time),
          options
        );
        break;
      case 'failed':
        Notification.error(
          [trans.__('%1 failed after %2', name, time), row.ended]
            .filter(Boolean)
            .join(': '),
          options
        );
        break;
      case 'diverged':
        Notification.warning(
          trans.__('%1 diverged: a metric is no finite number any more', name),
          options
        );
        break;
      case 'stopped':
        Notification.info(
          [trans.__('%1 was stopped after %2', name, time), row.ended]
            .filter(Boolean)
            .join(': '),
          options
        );
        break;
      case 'running':
      case 'scheduled':
        break;
    }
  }

  private _isWanted(row: IRow): boolean {
    const now = Date.now();
    if (now - (row.end_ms ?? now) > OLD_MS) {
      return false;
    }
    switch (this.wish) {
      case 'none':
        return false;
      case 'all':
        return true;
      case 'failed':
        return isBad(row);
      case 'long':
        // Who sees that it failed after a moment needs no word of it either.
        return (
          (tookMs(row, Date.now()) ?? 0) >= LONG_MS ||
          (isBad(row) && !this._options.isSeen(row))
        );
    }
  }

  private _actions(row: IRow): Notification.IAction[] {
    const { commands, trans } = this._options;
    const run = (command: string) => () =>
      void commands.execute(command, { runs: [row.id] });
    return [
      {
        label: trans.__('Open'),
        displayType: 'accent',
        callback: run(CommandIDs.openRun)
      },
      ...(row.cell?.cell_id
        ? [
            {
              label: trans.__('Jump to the cell'),
              callback: run(CommandIDs.jump)
            }
          ]
        : [])
    ];
  }

  private _due: IRow[] = [];
  private _said = new Set<string>();
  private _timer: ReturnType<typeof setTimeout> | null = null;
}

function isBad(row: IRow): boolean {
  const state = stateOf(row);
  return state === 'failed' || state === 'diverged';
}
