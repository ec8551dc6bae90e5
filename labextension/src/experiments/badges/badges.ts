import type { Cell } from '@jupyterlab/cells';
import { PathExt } from '@jupyterlab/coreutils';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { Contents } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { IDisposable } from '@lumino/disposable';
import { Throttler } from '@lumino/polling';
import { Signal } from '@lumino/signaling';

import { attachToCell } from '../../actions/notebook';
import type { ExperimentsApi } from '../api';
import type { ExperimentsLive } from '../live';
import type { ICellRuns, IRow, IRunsNews } from '../wire';
import { Badge } from './badge';
import { Measures } from './measures';

/** What happens in quick succession is one reason to ask. */
const GATHER_MS = 700;

export interface IBadgesOptions {
  readonly api: ExperimentsApi;
  readonly live: ExperimentsLive;
  readonly commands: CommandRegistry;
  readonly contents: Contents.IManager;
  readonly trans: TranslationBundle;
}

/** The badges of all notebooks that are open. */
export class Badges {
  constructor(
    private _options: IBadgesOptions,
    notebooks: INotebookTracker
  ) {
    this._measures = new Measures(_options.api);
    notebooks.forEach(panel => this._add(panel));
    notebooks.widgetAdded.connect((_, panel) => this._add(panel));
  }

  /** Whether badges are wanted at all. */
  set isShown(isShown: boolean) {
    this._isShown = isShown;
    this._all.forEach(one => (one.isShown = isShown));
  }

  private _add(panel: NotebookPanel): void {
    const badges = new NotebookBadges(this._options, this._measures, panel);
    badges.isShown = this._isShown;
    this._all.add(badges);
    panel.disposed.connect(() => {
      this._all.delete(badges);
      badges.dispose();
    });
  }

  private _all = new Set<NotebookBadges>();
  private _isShown = true;
  private _measures: Measures;
}

/**
 * The badges of one notebook. It asks once for all its cells, when it has a kernel, and from the first cell that is
 * run on it hears of what they make.
 */
class NotebookBadges implements IDisposable {
  constructor(
    private _options: IBadgesOptions,
    private _measures: Measures,
    private _panel: NotebookPanel
  ) {
    const { context, sessionContext } = _panel;
    const { live } = _options;
    sessionContext.kernelChanged.connect(this._kernelChanged, this);
    sessionContext.iopubMessage.connect(this._heard, this);
    context.pathChanged.connect(this._moved, this);
    context.fileChanged.connect(this._place, this);
    live.runs.connect(this._news, this);
    live.resync.connect(this._resync, this);
    void context.ready.then(() => {
      if (!this._isDisposed) {
        _panel.content.model?.cells.changed.connect(this._place, this);
        this._kernelChanged();
      }
    });
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  set isShown(isShown: boolean) {
    if (isShown !== this._isShown) {
      this._isShown = isShown;
      this._kernelChanged();
      this._watch();
      this._place();
    }
  }

  dispose(): void {
    this._isDisposed = true;
    this._abort.abort();
    this._soon.dispose();
    this._options.live.watch(this, null);
    Signal.clearData(this);
    this._badges.forEach(badge => badge.dispose());
    this._badges.clear();
  }

  private get _path(): string {
    return this._options.contents.localPath(this._panel.context.path);
  }

  /** A notebook without a kernel makes nothing, and is often only looked at. */
  private _kernelChanged(): void {
    const { session } = this._panel.sessionContext;
    if (this._isShown && session?.kernel && this._panel.context.isReady) {
      this._look();
    }
  }

  private _heard(
    _: unknown,
    { header }: { readonly header: { readonly msg_type: string } }
  ): void {
    if (header.msg_type === 'execute_input' && !this._hasRun) {
      this._hasRun = true;
      this._watch();
    }
  }

  private _moved(): void {
    // Runs keep the name that the notebook had; what is made from now on has the new one.
    this._watch();
    this._look();
  }

  private _resync(): void {
    if (this._hasRun) {
      this._look();
    }
  }

  private _watch(): void {
    const isDue = this._hasRun && this._isShown && !this._isDisposed;
    const wish = { cells: [this._path], columns: this._columns };
    this._options.live.watch(this, isDue ? wish : null);
  }

  private _look(): void {
    void this._soon.invoke().catch(() => undefined);
  }

  private async _load(): Promise<void> {
    this._abort.abort();
    const { signal } = (this._abort = new AbortController());
    try {
      const cells = await this._options.api.cells(this._path, signal);
      const [made, columns] = await this._measures.measured(cells, signal);
      this._made = new Map(made);
      this._columns = columns;
    } catch {
      // A notebook is as usable without badges; the panel says what is the matter.
      return;
    }
    this._watch();
    this._place();
  }

  private _news(_: unknown, { rows, removed }: IRunsNews): void {
    if (!this._isShown || this._isDisposed) {
      return;
    }
    const path = this._path;
    let isNew = removed.some(id =>
      [...this._made.values()].some(({ last }) => last.id === id)
    );
    let isChanged = false;
    for (const row of rows) {
      const { cell } = row;
      if (!cell?.cell_id || !isSame(cell.notebook, path)) {
        continue;
      }
      const made = this._made.get(cell.cell_id);
      if (made?.last.id === row.id) {
        this._made.set(cell.cell_id, taken(made, row));
        isChanged = true;
      }
      // How many there are now, the server says.
      isNew ||= made?.last.id !== row.id || made.last.status !== row.status;
      // Nothing had been measured when it was asked.
      isNew ||= this._columns.length === 0;
    }
    if (isChanged) {
      this._place();
    }
    if (isNew) {
      this._look();
    }
  }

  /** Put each badge where its cell is. */
  private _place(): void {
    if (this._isDisposed) {
      return;
    }
    const cells = new Map<string, Cell>();
    for (const cell of this._panel.content.widgets) {
      cells.set(cell.model.id, cell);
    }
    for (const [id, badge] of this._badges) {
      if (!this._isShown || !this._made.has(id) || !cells.has(id)) {
        badge.dispose();
        this._badges.delete(id);
      }
    }
    if (this._isShown) {
      for (const [id, made] of this._made) {
        const cell = cells.get(id);
        if (cell) {
          this._show(id, cell, made);
        }
      }
    }
  }

  private _show(id: string, cell: Cell, made: ICellRuns): void {
    const known = this._badges.get(id);
    if (known && !known.isDisposed) {
      known.made = made;
      return;
    }
    const { commands, trans } = this._options;
    const options = { commands, trans, cell: id, notebook: () => this._path };
    const badge = new Badge(options, made);
    this._badges.set(id, badge);
    attachToCell(badge, cell, () => {
      badge.dispose();
      // One that is moved is taken away and put back, as another one with the same id.
      queueMicrotask(() => this._place());
    });
  }

  private _abort = new AbortController();
  private _badges = new Map<string, Badge>();
  private _columns: readonly string[] = [];
  private _hasRun = false;
  private _isDisposed = false;
  private _isShown = true;
  private _made = new Map<string, ICellRuns>();
  private _soon = new Throttler(() => this._load(), {
    limit: GATHER_MS,
    edge: 'trailing'
  });
}

function taken(made: ICellRuns, row: IRow): ICellRuns {
  const values = { ...made.last.values, ...row.values };
  return { ...made, last: { ...row, values } };
}

function isSame(a: string, b: string): boolean {
  return PathExt.normalize(a) === PathExt.normalize(b);
}
