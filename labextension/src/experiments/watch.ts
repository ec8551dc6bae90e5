import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

/** Call back once, when the first notebook has a kernel: before that nothing here can make a run. */
export function watchKernels(
  notebooks: INotebookTracker,
  found: () => void
): void {
  const watched: NotebookPanel[] = [];
  const look = () => {
    if (watched.some(({ sessionContext }) => sessionContext.session?.kernel)) {
      notebooks.widgetAdded.disconnect(add);
      watched.splice(0).forEach(({ sessionContext }) => {
        sessionContext.kernelChanged.disconnect(look);
      });
      found();
    }
  };
  const add = (_: unknown, panel: NotebookPanel) => {
    watched.push(panel);
    panel.sessionContext.kernelChanged.connect(look);
    look();
  };
  notebooks.widgetAdded.connect(add);
  notebooks.forEach(panel => add(null, panel));
}
