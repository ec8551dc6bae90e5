import type { JupyterFrontEnd } from '@jupyterlab/application';
import { PathExt } from '@jupyterlab/coreutils';
import type { ISignal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import { pathIn } from '../chat/work';

/** What is used of Lab's file browser: its package is not loaded for the one name. */
interface IBrowser extends Widget {
  readonly model?: {
    readonly path: string;
    readonly pathChanged: ISignal<unknown, unknown>;
  };
}

/** Where the user is: the document that is open, else the folder of the file browser. */
export function followUser(
  { restored, serviceManager, shell }: JupyterFrontEnd,
  /** Not a place of its own. */
  isOurs: (widget: Widget) => boolean,
  changed: (location: string, folder: string) => void
): void {
  const { contents } = serviceManager;
  let browser: IBrowser | null = null;
  let last: Widget | null = null;
  const look = () => {
    browser ??= find(shell);
    const { currentWidget } = shell;
    if (!currentWidget || !isOurs(currentWidget)) {
      last = currentWidget;
    }
    const open = last && !last.isDisposed ? pathIn(last) : null;
    const folder = contents.localPath(browser?.model?.path ?? '');
    if (open === null) {
      changed(folder, folder);
    } else {
      const path = contents.localPath(open);
      changed(path, PathExt.dirname(path));
    }
  };
  // Before, Lab is not yet where the user left it.
  void restored.then(() => {
    look();
    shell.currentChanged?.connect(look);
    browser?.model?.pathChanged.connect(look);
  });
}

function find(shell: JupyterFrontEnd.IShell): IBrowser | null {
  for (const side of ['left', 'right', 'main']) {
    for (const widget of shell.widgets(side)) {
      if (widget.id === 'filebrowser' && 'model' in widget) {
        return widget as IBrowser;
      }
    }
  }
  return null;
}
