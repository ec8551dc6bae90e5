import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator } from '@jupyterlab/translation';

const gpus: JupyterFrontEndPlugin<void> = {
  id: 'aidp-ext:hub',
  description: "Shows a hub's GPUs: your lease, or your place in line.",
  autoStart: true,
  optional: [IStatusBar, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    statusBar: IStatusBar | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    if (statusBar && PageConfig.getOption('hubPrefix')) {
      void app.restored
        .then(() => import(/* webpackChunkName: 'on-demand-hub' */ './connect'))
        .then(({ connect }) => connect({ app, statusBar, palette, translator }))
        .catch((reason: unknown) => console.warn('aidp: no GPUs', reason));
    }
  }
};

const memory: JupyterFrontEndPlugin<void> = {
  id: 'aidp-ext:hub-memory',
  description: 'Says which limit it was where a kernel ran out of memory.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    translator: ITranslator | null
  ) => {
    if (PageConfig.getOption('hubPrefix')) {
      void app.restored
        .then(() => import(/* webpackChunkName: 'on-demand-hub' */ './connect'))
        .then(({ explainLostKernels }) =>
          explainLostKernels(app, notebooks, translator)
        )
        .catch((reason: unknown) =>
          console.warn('aidp: no limit of memory', reason)
        );
    }
  }
};

export const hubPlugins: JupyterFrontEndPlugin<unknown>[] = [gpus, memory];
