import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ISessionContextDialogs } from '@jupyterlab/apputils';
import type { IDocumentWidget } from '@jupyterlab/docregistry';
import type { FileEditor, IEditorTracker } from '@jupyterlab/fileeditor';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { ITranslator } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';

import type { IContextGatherer } from '../ai/context/tokens';
import { documentPath } from '../ai/excerpt';
import type { Feedback } from '../ai/feedback';
import type { IAiModel } from '../ai/tokens';
import type { ActionsApi } from './api';
import { FILE, FileSite } from './file';
import { ActionFrame } from './frame';
import { NotebookSite } from './notebook';
import type { IFiles } from './session';
import { ActionSession } from './session';
import type { ISite } from './site';
import type { IViewServices } from './view';
import type { Action } from './wire';
import { TASKS } from './wire';

export interface IActionsOptions {
  readonly app: JupyterFrontEnd;
  readonly api: ActionsApi;
  readonly model: IAiModel;
  readonly gatherer: IContextGatherer;
  readonly feedback: Feedback;
  readonly notebooks: INotebookTracker | null;
  readonly editors: IEditorTracker | null;
  readonly dialogs: ISessionContextDialogs | null;
  readonly translator: ITranslator | null;
  readonly files: IFiles;
  readonly view: IViewServices;
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

  /** Whether an action makes sense here. */
  can(action: Action, { site, cell }: ITarget): boolean {
    const isNotebook = site instanceof NotebookSite;
    if (action === 'summary') {
      return isNotebook && !site.widget.content.model?.readOnly;
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
    const isPython = site.mimeType(cell).includes('python');
    return site.isCode(cell) && (isPython || !isForPython);
  }

  /** Begin an action. One that is under way on the same target ends. */
  start(action: Action, { site, cell }: ITarget, instruction = ''): void {
    const { api, feedback, files, gatherer, model, view } = this._options;
    this.frame({ site, cell })?.dispose();
    const session = new ActionSession({
      action,
      site,
      cell,
      api,
      model,
      files,
      instruction,
      question: query =>
        gatherer.question({
          task: TASKS[action],
          widget: site.widget,
          cell,
          query
        }),
      loadDiffer: async () => (await import('./diff')).differ,
      report: (route, outcome) => feedback.add(route, TASKS[action], outcome),
      trans: view.trans
    });
    const frame = new ActionFrame(session, view);
    const open: IOpen = { widget: site.widget, cell, frame };
    this._open.add(open);
    frame.disposed.connect(() => this._open.delete(open));
    session.finished.connect(() => {
      const isHere = frame.node.contains(document.activeElement);
      frame.dispose();
      if (isHere || document.activeElement === document.body) {
        site.focus(cell);
      }
    });
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
