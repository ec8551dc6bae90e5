import { Notification } from '@jupyterlab/apputils';

import type { GpuModel } from './model';
import type { ILease } from './wire';
import type { IWords } from './wording';
import { ending, isNearlyOver, sentence } from './wording';

/** Says what somebody would not look for in the status bar, each thing once. */
export class Notices {
  /** `restart` leads to where the server is stopped and started; null where nothing does. */
  constructor(
    private _model: GpuModel,
    private _words: IWords,
    private _restart: (() => void) | null
  ) {
    _model.changed.connect(this._look, this);
  }

  private _look(): void {
    const { gpus } = this._model;
    if (!gpus) {
      return;
    }
    const { lease, now_ms } = gpus;
    const { trans } = this._words;
    if (!lease) {
      this._said.clear();
    } else if (!lease.is_held) {
      this._say(lease, 'offer', () =>
        Notification.success(sentence(gpus, this._words), {
          autoClose: false,
          actions: this._restart
            ? [{ label: trans.__('Open the hub'), callback: this._restart }]
            : []
        })
      );
    } else if (lease.ends_ms !== null) {
      this._say(lease, 'end', () =>
        Notification.warning(ending(lease, now_ms, this._words), {
          autoClose: false
        })
      );
    } else {
      this._said.delete('end');
      if (isNearlyOver(lease, now_ms)) {
        this._say(lease, 'nearly', () =>
          Notification.warning(
            trans.__('%1 Save your work.', sentence(gpus, this._words)),
            { autoClose: false }
          )
        );
      }
    }
  }

  private _say(lease: ILease, what: string, say: () => string): void {
    const key = what === 'end' ? what : `${what} ${lease.until_ms}`;
    if (!this._said.has(key)) {
      this._said.add(key);
      say();
    }
  }

  private _said = new Set<string>();
}
