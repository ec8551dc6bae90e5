import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

/** Ask before something is taken away; `action` names the button that does it. */
export async function confirm(
  title: string,
  body: string,
  action: string,
  trans: TranslationBundle
): Promise<boolean> {
  const { button } = await showDialog({
    title,
    body,
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.warnButton({ label: action })
    ]
  });
  return button.accept;
}

/** Ask for a name; null where there is none. */
export async function askName(
  title: string,
  action: string,
  text: string,
  trans: TranslationBundle
): Promise<string | null> {
  const { value, button } = await InputDialog.getText({
    title,
    text,
    okLabel: action,
    cancelLabel: trans.__('Cancel')
  });
  return button.accept ? value?.trim() || null : null;
}
