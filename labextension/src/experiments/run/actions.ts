import { Notification, showErrorMessage } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { MenuSvg } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';

import { ChatCommandIDs } from '../../chat/tokens';
import { confirm } from '../../git/questions';
import { CommandIDs } from '../tokens';
import type { IRunDetail } from '../wire';
import { isOver, visible } from '../wording';
import type { IRunContext } from './context';
import { aboutRun, mlflowAddress, snippetFor } from './words';

/** How long an undo is offered. */
const OFFER_MS = 10_000;

/** Do something that can be taken back, and offer that. */
export async function undoable(
  message: string,
  work: () => Promise<boolean>,
  undo: () => Promise<boolean>,
  trans: TranslationBundle
): Promise<void> {
  if (await work()) {
    Notification.info(message, {
      autoClose: OFFER_MS,
      actions: [{ label: trans.__('Undo'), callback: () => void undo() }]
    });
  }
}

/** What else can be done with a run, below a button. */
export function openRunMenu(context: IRunContext, anchor: HTMLElement): void {
  const { api, app, model, trans } = context;
  const run = model.run!;
  const commands = new CommandRegistry();
  const menu = new MenuSvg({ commands });
  const add = (label: string, execute: () => unknown, isVisible = true) => {
    const id = `item-${label}`;
    if (isVisible) {
      commands.addCommand(id, {
        label,
        execute,
        describedBy: { args: { type: 'object', properties: {} } }
      });
      menu.addItem({ command: id });
    }
  };
  const { can, stage } = run;
  const copy = (text: string, words: string) =>
    navigator.clipboard.writeText(text).then(
      () => Notification.info(words, { autoClose: 2000 }),
      (reason: unknown) =>
        showErrorMessage(trans.__('It could not be copied'), String(reason))
    );
  add(trans.__('Copy the Run Id'), () =>
    copy(run.id, trans.__('The run id is copied.'))
  );
  add(trans.__('Copy Code That Reads It'), () =>
    copy(snippetFor(run.id), trans.__('The code is copied.'))
  );
  add(trans.__('Open in MLflow'), () =>
    window.open(
      mlflowAddress(api.mlflowUrl, run),
      '_blank',
      'noopener,noreferrer'
    )
  );
  add(
    trans.__('Ask in the AI Chat'),
    () =>
      app.commands.execute(ChatCommandIDs.ask, {
        body: aboutRun(run, trans),
        autoSend: false
      }),
    app.commands.hasCommand(ChatCommandIDs.ask)
  );
  add(
    trans.__('Show the Cell'),
    () => app.commands.execute(CommandIDs.jump, { runs: [run.id] }),
    run.cell !== null
  );
  menu.addItem({ type: 'separator' });
  add(
    trans.__('End the Run…'),
    () => endRun(context, run),
    can.write && !isOver(run)
  );
  add(
    trans.__('Delete the Run'),
    () =>
      undoable(
        trans.__('“%1” is deleted.', visible(run.name)),
        () => model.remove(true),
        () => model.remove(false),
        trans
      ),
    can.write && stage === 'active'
  );
  add(
    trans.__('Take the Run Back'),
    () => model.remove(false),
    can.write && stage === 'deleted'
  );
  menu.aboutToClose.connect(() => {
    anchor.focus();
    // A command that was chosen runs after the menu is closed.
    setTimeout(() => menu.dispose());
  });
  const { left, bottom } = anchor.getBoundingClientRect();
  menu.open(left, bottom);
}

async function endRun(
  { model, trans }: IRunContext,
  run: IRunDetail
): Promise<void> {
  const isSure = await confirm(
    trans.__('End the run “%1”?', visible(run.name)),
    trans.__(
      'It is marked as stopped. A program that still runs goes on; what it logs from now on is kept.'
    ),
    trans.__('End it'),
    trans
  );
  if (isSure) {
    await model.change({ end: 'KILLED' });
  }
}
