import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

export const contextPlugins: JupyterFrontEndPlugin<unknown>[] = [];
