import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { notebookOf } from '../ai/panels';
import { asAidpError } from '../shared/request';
import type { ExperimentsApi } from './api';

/** For how long a cell is marked when one has jumped to it. */
const FLASH_MS = 1_600;
const FLASH = 'jp-AidpExp-flash';

/** A cell, and how to learn what it was when it is gone. */
export interface IJump {
  readonly notebook: string;
  readonly cell_id: string | null;
  /** The run that it made. */
  readonly run: string | null;
}

export interface IJumper {
  readonly api: ExperimentsApi;
  readonly documents: IDocumentManager;
  readonly trans: TranslationBundle;
}

/** Show a cell: its notebook is opened, and the cell scrolled to, selected and marked for a moment. */
export async function jumpToCell(jumper: IJumper, to: IJump): Promise<void> {
  const { documents, trans } = jumper;
  const { notebook: path, cell_id } = to;
  const { contents } = documents.services;
  const isThere = await contents.get(path, { content: false }).then(
    () => true,
    () => false
  );
  if (!isThere) {
    await offerSource(
      jumper,
      to,
      trans.__('%1 is not there any more: it was moved or deleted.', path)
    );
    return;
  }
  const widget = documents.openOrReveal(path);
  await widget?.revealed;
  const notebook = notebookOf(widget)?.content;
  if (!notebook || notebook.isDisposed) {
    return;
  }
  const index = notebook.widgets.findIndex(({ model }) => model.id === cell_id);
  if (index < 0) {
    await offerSource(
      jumper,
      to,
      trans.__('The cell is not in %1 any more.', path)
    );
    return;
  }
  notebook.deselectAll();
  notebook.activeCellIndex = index;
  notebook.mode = 'command';
  await notebook.scrollToItem(index, 'center');
  const cell = notebook.widgets[index];
  await cell?.ready;
  if (cell && !cell.isDisposed && notebook.activeCellIndex === index) {
    cell.node.focus();
    cell.addClass(FLASH);
    setTimeout(() => cell.removeClass(FLASH), FLASH_MS);
  }
}

/** Say that a cell is gone, and offer what it was. */
async function offerSource(
  { api, trans }: IJumper,
  { run }: IJump,
  words: string
): Promise<void> {
  const source = run
    ? await api.run(run).then(
        ({ lineage }) => lineage.source,
        () => null
      )
    : null;
  if (!source) {
    Notification.warning(words, { autoClose: 8_000 });
    return;
  }
  const body = new Widget();
  body.addClass('jp-AidpExp-source');
  const said = document.createElement('p');
  said.textContent = words;
  const text = document.createElement('pre');
  text.textContent = source;
  text.tabIndex = 0;
  text.setAttribute('aria-label', trans.__('The cell as it ran'));
  body.node.append(said, text);
  const { button } = await showDialog({
    title: trans.__('The cell as it ran'),
    body,
    buttons: [
      Dialog.cancelButton({ label: trans.__('Close') }),
      Dialog.okButton({ label: trans.__('Copy') })
    ]
  });
  if (button.accept) {
    await navigator.clipboard.writeText(source).catch(error => {
      Notification.error(asAidpError(error).message);
    });
  }
}
