import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { IDocumentWidget } from '@jupyterlab/docregistry';
import type { FileEditor, IEditorTracker } from '@jupyterlab/fileeditor';
import type { Contents } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';

import { asAidpError } from '../shared/request';
import type { IFiles } from './draft';
import type { Undo } from './files';
import { readText, writeText } from './files';
import { loadMerge } from './merge';
import { writeHunks } from './steps';

export interface IWorkspaceOptions {
  readonly contents: Contents.IManager;
  readonly documents: IDocumentManager | null;
  readonly editors: IEditorTracker | null;
  readonly trans: TranslationBundle;
}

/** The files of the workspace: in their editors where they are open, else on the disk. */
export class Workspace implements IFiles {
  constructor(private _options: IWorkspaceOptions) {}

  async read(path: string): Promise<string | null> {
    const editor = this._editor(path);
    return editor
      ? editor.content.model.sharedModel.getSource()
      : readText(this._options.contents, path);
  }

  async write(
    path: string,
    text: string,
    before: string | null
  ): Promise<Undo | null> {
    const editor = this._editor(path);
    if (editor) {
      // As if it were typed: not saved yet, and the editor's undo takes it back, too.
      const source = editor.content.model.sharedModel;
      const { differ } = await loadMerge();
      const { fits, undo } = writeHunks(
        source,
        differ(source.getSource(), text)
      );
      return () => {
        const isThere = !editor.isDisposed && fits(source);
        if (isThere) {
          undo(source);
        }
        return isThere;
      };
    }
    if (before !== null && !(await this._mayReplace(path))) {
      return null;
    }
    return writeText(this._options.contents, path, text, before);
  }

  async save(path: string): Promise<void> {
    const context = this._editor(path)?.context;
    if (context?.model.dirty) {
      await context.save();
    }
  }

  open(path: string): void {
    this._options.documents?.openOrReveal(path);
  }

  offerUndo(message: string, undo: Undo): void {
    const { trans } = this._options;
    const callback = async () => {
      try {
        if (await undo()) {
          Notification.info(trans.__('Taken back.'), { autoClose: 3000 });
        } else {
          Notification.error(
            trans.__(
              'Not all of it was taken back: what has changed since stays.'
            )
          );
        }
      } catch (error) {
        Notification.error(asAidpError(error).message);
      }
    };
    Notification.success(message, {
      autoClose: 8000,
      actions: [{ label: trans.__('Undo'), callback: () => void callback() }]
    });
  }

  private async _mayReplace(path: string): Promise<boolean> {
    const { trans } = this._options;
    const { button } = await showDialog({
      title: trans.__('Replace %1?', path),
      body: trans.__('The file is there already.'),
      buttons: [
        Dialog.cancelButton(),
        Dialog.warnButton({ label: trans.__('Replace') })
      ]
    });
    return button.accept;
  }

  private _editor(path: string): IDocumentWidget<FileEditor> | null {
    const { contents, editors } = this._options;
    return (
      editors?.find(
        ({ context }) => contents.localPath(context.path) === path
      ) ?? null
    );
  }
}
