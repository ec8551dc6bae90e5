// With what is loaded on demand: a page outside a hub need not load its looks.
import '../../style/hub.css';

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { IStatusBar } from '@jupyterlab/statusbar';
import type { ITranslator } from '@jupyterlab/translation';
import { nullTranslator } from '@jupyterlab/translation';

import { DOMAIN, NO_ARGUMENTS, createFormat } from '../ai/services';
import { AidpServer } from '../shared/request';
import { MemoryNotices } from './memory';
import { GpuModel } from './model';
import { Notices } from './notices';
import { GpuStatus } from './status';
import { CommandIDs } from './tokens';
import type { IGpus } from './wire';

/** Lab's own command, where a hub has started it. */
const HUB = 'hub:control-panel';

export interface IConnectOptions {
  readonly app: JupyterFrontEnd;
  readonly statusBar: IStatusBar;
  readonly palette: ICommandPalette | null;
  readonly translator: ITranslator | null;
}

/** Show the hub's GPUs, if there are some. */
export async function connect(options: IConnectOptions): Promise<void> {
  const { app, translator } = options;
  const trans = (translator ?? nullTranslator).load(DOMAIN);
  const model = new GpuModel(
    new AidpServer(app.serviceManager.serverSettings, trans)
  );
  let isShown = false;
  model.changed.connect(() => {
    if (model.gpus?.is_on && !isShown) {
      isShown = true;
      show(model, options);
    }
  });
  await model.watch();
}

/** Say why a kernel died where it was for want of memory. */
export async function explainLostKernels(
  app: JupyterFrontEnd,
  notebooks: INotebookTracker,
  translator: ITranslator | null
): Promise<void> {
  const trans = (translator ?? nullTranslator).load(DOMAIN);
  const words = { trans, format: createFormat(translator) };
  const server = new AidpServer(app.serviceManager.serverSettings, trans);
  await new MemoryNotices(server, words, toHub(app)).watch(notebooks);
}

/** What opens the page where the server is stopped and started; null where Lab has no way there. */
function toHub({ commands }: JupyterFrontEnd): (() => void) | null {
  return commands.hasCommand(HUB) ? () => void commands.execute(HUB) : null;
}

function show(
  model: GpuModel,
  { app, statusBar, palette, translator }: IConnectOptions
): void {
  const { commands } = app;
  const trans = (translator ?? nullTranslator).load(DOMAIN);
  const words = { trans, format: createFormat(translator) };
  const restart = toHub(app);
  const item = new GpuStatus({ model, commands, restart, ...words });
  statusBar.registerStatusItem('aidp-ext:hub', {
    item,
    align: 'left',
    rank: 910
  });
  new Notices(model, words, restart);

  const add = (
    command: string,
    label: string,
    execute: () => unknown,
    isEnabled: (gpus: IGpus) => boolean = () => true
  ) => {
    commands.addCommand(command, {
      label,
      describedBy: NO_ARGUMENTS,
      isEnabled: () => !!model.gpus && isEnabled(model.gpus),
      execute
    });
    palette?.addItem({ command, category: trans.__('Hub') });
  };
  add(CommandIDs.openStatus, trans.__('Show GPU Status'), () => item.toggle());
  add(
    CommandIDs.extend,
    trans.__('Extend the GPU Lease'),
    () => model.extend(),
    ({ lease }) => !!lease?.is_held
  );
  add(
    CommandIDs.wait,
    trans.__('Wait for a GPU'),
    () => model.wait(),
    ({ lease, place }) => !lease && !place
  );
  add(
    CommandIDs.leave,
    trans.__('Leave the Line for a GPU'),
    () => model.leave(),
    ({ lease, place }) => !!place || lease?.is_held === false
  );
  model.changed.connect(() => commands.notifyCommandChanged());
}
