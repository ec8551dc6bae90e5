import type { TranslationBundle } from '@jupyterlab/translation';

import type { IRunDetail } from '../wire';
import { visible } from '../wording';

/** How a program gets hold of the run. */
export function snippetFor(id: string): string {
  return `import mlflow\n\nrun = mlflow.get_run("${id}")\nprint(run.data.metrics)\n`;
}

/** The address of a run in MLflow's own pages. */
export function mlflowAddress(base: string, run: IRunDetail): string {
  return `${base}#/experiments/${run.experiment_id}/runs/${run.id}`;
}

/** A question about a run, with what a model needs to know of it. */
export function aboutRun(run: IRunDetail, trans: TranslationBundle): string {
  const metrics = run.metrics
    .slice(0, 30)
    .map(({ key, value }) => `${key} = ${value}`);
  const params = Object.entries(run.params)
    .slice(0, 30)
    .map(([key, value]) => `${key} = ${value.slice(0, 100)}`);
  return [
    trans.__('About the MLflow run %1 (%2):', visible(run.name), run.id),
    params.length > 0 && `${trans.__('Parameters')}: ${params.join(', ')}`,
    metrics.length > 0 && `${trans.__('Metrics')}: ${metrics.join(', ')}`,
    ''
  ]
    .filter(line => line !== false)
    .join('\n');
}
