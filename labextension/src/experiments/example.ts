import type { IDocumentManager } from '@jupyterlab/docmanager';

/** Where `aidp lab` lays it, beside its data. */
const FOLDER = 'examples';
const EXAMPLE = `${FOLDER}/experiment.ipynb`;

/** What a new notebook holds where the example is not there: small, and needs nothing but scikit-learn. */
const CELLS: readonly (readonly ['markdown' | 'code', string])[] = [
  [
    'markdown',
    '# An experiment\n\nRun the cells: each run appears in **Experiments** at the left, live, and below the cell that made it.'
  ],
  [
    'code',
    'import mlflow\nfrom sklearn.datasets import load_iris\nfrom sklearn.linear_model import SGDClassifier\nfrom sklearn.model_selection import train_test_split\n\nmlflow.set_experiment("iris")\nX_train, X_test, y_train, y_test = train_test_split(*load_iris(return_X_y=True), random_state=0)'
  ],
  [
    'code',
    'with mlflow.start_run():\n    mlflow.log_params({"alpha": 0.001, "model": "sgd"})\n    model = SGDClassifier(alpha=0.001, random_state=0)\n    for epoch in range(50):\n        model.partial_fit(X_train, y_train, classes=[0, 1, 2])\n        mlflow.log_metric("train_acc", model.score(X_train, y_train), step=epoch)\n        mlflow.log_metric("val_acc", model.score(X_test, y_test), step=epoch)'
  ]
];

/** Make a notebook with a small experiment, and open it. */
export async function newExperimentNotebook(
  documents: IDocumentManager,
  folder: string
): Promise<void> {
  const { contents } = documents.services;
  const copy = await contents.copy(EXAMPLE, FOLDER).catch(() => null);
  const path = copy?.path ?? (await ownNotebook(documents, folder));
  documents.openOrReveal(path, 'default', { name: await python(documents) });
}

async function ownNotebook(
  documents: IDocumentManager,
  folder: string
): Promise<string> {
  const { contents } = documents.services;
  const { path } = await contents.newUntitled({
    path: folder,
    type: 'notebook'
  });
  const cells = CELLS.map(([cell_type, source], index) => ({
    cell_type,
    id: `experiment-${index}`,
    source,
    metadata: {},
    ...(cell_type === 'code' && { execution_count: null, outputs: [] })
  }));
  await contents.save(path, {
    type: 'notebook',
    format: 'json',
    content: { cells, metadata: {}, nbformat: 4, nbformat_minor: 5 }
  });
  return path;
}

/** The name of the kernel for Python that is usual here. */
async function python({ services }: IDocumentManager): Promise<string> {
  const { kernelspecs } = services;
  await kernelspecs.ready;
  const { specs } = kernelspecs;
  const all = Object.values(specs?.kernelspecs ?? {});
  const usual = all.find(one => one?.name === specs?.default);
  const found =
    usual?.language === 'python'
      ? usual
      : all.find(one => one?.language === 'python');
  return found?.name ?? 'python3';
}
