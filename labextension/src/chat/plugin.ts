import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

export const chatPlugins: JupyterFrontEndPlugin<unknown>[] = [];
