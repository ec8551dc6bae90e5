import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

export const actionsPlugins: JupyterFrontEndPlugin<unknown>[] = [];
