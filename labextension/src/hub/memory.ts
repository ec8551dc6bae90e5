import { Notification } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import type { AidpServer } from '../shared/request';
import type { IMemory } from './wire';
import type { IWords } from './wording';

/** Says which limit it was where the system ended a kernel for want of memory: Lab says only that it died. */
export class MemoryNotices {
  /** `restart` leads to where the server is stopped and started; null where nothing does. */
  constructor(
    private _server: AidpServer,
    private _words: IWords,
    private _restart: (() => void) | null
  ) {}

  /** Look after all notebooks from now on. */
  async watch(notebooks: INotebookTracker): Promise<void> {
    this._ended = (await this._look()).ended;
    notebooks.forEach(notebook => this._add(notebook));
    notebooks.widgetAdded.connect((_, notebook) => this._add(notebook));
  }

  private _add({ context, sessionContext }: NotebookPanel): void {
    sessionContext.statusChanged.connect((_, status) => {
      if (status === 'autorestarting' || status === 'dead') {
        void this._died(context.path).catch((reason: unknown) =>
          console.warn('aidp: why a kernel died is not known', reason)
        );
      }
    });
  }

  private async _died(path: string): Promise<void> {
    const { limit, ended } = await this._look();
    // A server that started anew counts from zero.
    const isMore = ended > (ended < this._ended ? 0 : this._ended);
    this._ended = ended;
    if (isMore && limit !== null) {
      this._say(path, limit);
    }
  }

  private _say(path: string, limit: number): void {
    const { trans, format } = this._words;
    // Lab cuts what is longer than 140 characters.
    const name = PathExt.basename(path).slice(0, 40);
    Notification.error(
      trans.__(
        '%1 lost its kernel: this server used up its %2 of memory. Use less at a time, or start it with more.',
        name,
        format.memory(limit)
      ),
      {
        autoClose: false,
        actions: this._restart
          ? [{ label: trans.__('Open the hub'), callback: this._restart }]
          : []
      }
    );
  }

  private _look(): Promise<IMemory> {
    return this._server.json<IMemory>('hub/memory');
  }

  private _ended = 0;
}
