import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, closeIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';
import * as React from 'react';

import { IconButton } from '../../shared/controls';

/** Show a dialog that Escape and a click beside it close. Lab's own take Enter for themselves. */
export function openDialog(
  title: string,
  trans: TranslationBundle,
  body: (close: () => void) => React.ReactElement
): void {
  const dialog = document.createElement('dialog');
  dialog.className = 'jp-AidpExpDialog jp-ThemedContainer';
  dialog.setAttribute('aria-label', title);
  document.body.append(dialog);
  const before = document.activeElement as HTMLElement | null;
  const close = () => dialog.close();
  const content = ReactWidget.create(
    <div className="jp-AidpExpDialog-frame">
      <div className="jp-AidpExpDialog-title">
        <h2>{title}</h2>
        <IconButton
          icon={closeIcon}
          label={trans.__('Close')}
          onClick={close}
        />
      </div>
      {body(close)}
    </div>
  );
  dialog.addEventListener('close', () => {
    content.dispose();
    dialog.remove();
    if (before?.checkVisibility()) {
      before.focus();
    }
  });
  dialog.addEventListener('mousedown', ({ target }) => {
    if (target === dialog) {
      close();
    }
  });
  Widget.attach(content, dialog);
  dialog.showModal();
}

/** A field with its name before it. */
export function Field(props: {
  readonly id: string;
  readonly label: string;
  readonly children: React.ReactNode;
}): React.ReactElement {
  return (
    <div className="jp-AidpExpDialog-field">
      <label htmlFor={props.id}>{props.label}</label>
      {props.children}
    </div>
  );
}
