import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ISessionContextDialogs } from '@jupyterlab/apputils';
import { Notification } from '@jupyterlab/apputils';
import type { IDocumentWidget } from '@jupyterlab/docregistry';
import type { FileEditor, IEditorTracker } from '@jupyterlab/fileeditor';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { ITranslator } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';

import type { IContextGatherer } from '../ai/context/tokens';
import { documentPath } from '../ai/excerpt';
import { FILE, FileSite } from './file';
import type { ActionFrame } from './frame';
import { NotebookSite } from './notebook';
import type { IOpenServices } from './opened';
import type { ISite } from './site';
import type { Offer } from './tokens';
import { actionOf } from './tokens';
import { TASKS } from './wire';

export interface IActionsOptions extends IOpenServices {
  readonly app: JupyterFrontEnd;
  readonly gatherer: IContextGatherer;
  readonly notebooks: INotebookTracker | null;
  readonly editors: IEditorTracker | null;
  readonly dialogs: ISessionContextDialogs | null;
  readonly translator: ITranslator | null;
}

/** Where an action would be done. */
export interface ITarget {
  readonly site: ISite;
  readonly cell: string;
}

/** Begins actions, and knows which of them are under way. */
export class Actions {
  constructor(private _options: IActionsOptions) {}

  /** The cell or file that the user is in, or another cell of the same notebook; null where there is none. */
  target(cell?: string): ITarget | null {
    const { app, notebooks, editors } = this._options;
    const widget = app.shell.currentWidget;
    if (widget && notebooks?.has(widget)) {
      const panel = widget as NotebookPanel;
      const id = cell ?? panel.content.activeCell?.model.id;
      return id ? { site: this.notebook(panel), cell: id } : null;
    }
    return widget && editors?.has(widget)
      ? { site: this.file(widget as IDocumentWidget<FileEditor>), cell: FILE }
      : null;
  }

  notebook(panel: NotebookPanel): NotebookSite {
    const { dialogs, translator } = this._options;
    return new NotebookSite(panel, this._path(panel), dialogs, translator);
  }

  file(widget: IDocumentWidget<FileEditor>): FileSite {
    return new FileSite(widget, this._path(widget));
  }

  /** Whether an action makes sense here. Of a document that is not loaded yet nobody knows. */
  can(offer: Offer, { site, cell }: ITarget): boolean {
    if (offer === 'summary' && !(site instanceof NotebookSite)) {
      return false;
    }
    if (!site.isReady) {
      return true;
    }
    const action = actionOf(offer);
    if (action === 'summary') {
      return site.canWrite('');
    }
    if (!site.source(cell)?.trim() && action !== 'edit') {
      return false;
    }
    if (action === 'explain' || action === 'review') {
      return true;
    }
    if (!site.canWrite(cell)) {
      return false;
    }
    if (action === 'edit') {
      return true;
    }
    const isForPython = action === 'tests' || action === 'convert';
    // What a new notebook is written in its kernel says, once that has started.
    const isPython = /python|^text\/plain$/.test(site.mimeType(cell));
    return site.isCode(cell) && (isPython || !isForPython);
  }

  /** Begin an action. One that is under way on the same target ends. */
  async start(
    offer: Offer,
    { site, cell }: ITarget,
    instruction = ''
  ): Promise<void> {
    const { gatherer, view } = this._options;
    const load = () =>
      import(/* webpackChunkName: 'on-demand-actions' */ './opened');
    const opened = await load().catch(() => null);
    if (!opened) {
      const { trans } = view;
      Notification.error(
        trans.__('The AI actions could not be loaded. Reload the page.')
      );
      return;
    }
    this.frame({ site, cell })?.dispose();
    const frame = opened.open(this._options, {
      action: offer,
      site,
      cell,
      instruction,
      question: query =>
        gatherer.question({
          task: TASKS[actionOf(offer)],
          widget: site.widget,
          cell,
          query
        })
    });
    const open: IOpen = { widget: site.widget, cell, frame };
    this._open.add(open);
    frame.disposed.connect(() => this._open.delete(open));
    site.attach(frame, cell);
  }

  /** What is shown below a target; null where nothing is. */
  frame({ site, cell }: ITarget): ActionFrame | null {
    for (const open of this._open) {
      if (open.widget === site.widget && open.cell === cell) {
        return open.frame;
      }
    }
    return null;
  }

  private _path(widget: Widget): string {
    return documentPath(widget, this._options.app.serviceManager.contents);
  }

  private _open = new Set<IOpen>();
}

interface IOpen {
  readonly widget: Widget;
  readonly cell: string;
  readonly frame: ActionFrame;
}
