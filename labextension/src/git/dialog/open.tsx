import { ReactWidget } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';
import * as React from 'react';

import type { IGitContext } from '../panel/context';
import { GitProvider } from '../panel/context';
import { AccountList } from './accounts';
import { ImportRepository } from './import';

/** Which dialog. */
export type DialogName = 'import' | 'accounts';

/** Show a dialog that Escape closes. What it began goes on. */
export function openDialog(name: DialogName, context: IGitContext): void {
  const { model, trans } = context;
  if (model.clones.current?.state === 'done') {
    model.clones.stop();
  }
  const label =
    name === 'import' ? trans.__('Import a repository') : trans.__('Accounts');
  // Lab's own dialogs take Enter for themselves.
  const dialog = document.createElement('dialog');
  dialog.className = 'jp-AidpGitDialog jp-ThemedContainer';
  dialog.setAttribute('aria-label', label);
  document.body.append(dialog);
  const close = () => dialog.close();
  const content = ReactWidget.create(
    <GitProvider value={{ ...context, prefix: 'jp-aidp-git-dialog' }}>
      {name === 'import' ? (
        <ImportRepository close={close} />
      ) : (
        <AccountList close={close} />
      )}
    </GitProvider>
  );
  dialog.addEventListener('close', () => {
    model.accounts.stop();
    content.dispose();
    dialog.remove();
  });
  dialog.addEventListener('click', ({ target }) => {
    // Beside it.
    if (target === dialog) {
      close();
    }
  });
  Widget.attach(content, dialog);
  dialog.showModal();
}
