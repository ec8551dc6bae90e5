import { URLExt } from '@jupyterlab/coreutils';

import type { AidpServer } from '../shared/request';
import { AidpError } from '../shared/request';
import type {
  ExplainEvent,
  IArtifacts,
  ICellRuns,
  ICells,
  ICodeDiff,
  IComparison,
  ICurve,
  ICurveQuestion,
  IDone,
  IExperiment,
  IExperiments,
  IKeys,
  IModel,
  IPreview,
  IRegisterQuestion,
  IRegistered,
  IRestoreQuestion,
  IRestored,
  IRunChange,
  IRunDetail,
  IRunPage,
  IRunQuestion,
  ITracking,
  View
} from './wire';

/** Which columns of which experiment are looked for. */
export interface IKeyQuestion {
  readonly experiment: string;
  readonly search?: string;
  readonly limit?: number;
}

/** What of an experiment goes into a file. */
export interface ICsvQuestion {
  readonly experiments: readonly string[];
  readonly filter: string;
  readonly order_by: readonly string[];
  readonly columns: readonly string[];
  readonly view?: View;
  /** Only these; all that are found where none are named. */
  readonly runs?: readonly string[];
}

/** The experiments slice's HTTP interface, typed. Each call rejects with an AidpError. */
export class ExperimentsApi {
  /** `base` is the Jupyter server's own address, for what the browser itself opens. */
  constructor(
    private _server: AidpServer,
    private _base: string
  ) {}

  experiments(signal?: AbortSignal): Promise<IExperiments> {
    return this._server.json('experiments', { signal });
  }

  createExperiment(name: string): Promise<IExperiment> {
    return this._server.json('experiments', sent('POST', { name }));
  }

  changeExperiment(
    id: string,
    change: { readonly name?: string; readonly note?: string }
  ): Promise<IExperiment> {
    return this._server.json(`experiments/${id}`, sent('PATCH', change));
  }

  async deleteExperiment(id: string): Promise<void> {
    await this._server.open(`experiments/${id}/delete`, sent('POST', {}));
  }

  async restoreExperiment(id: string): Promise<void> {
    await this._server.open(`experiments/${id}/restore`, sent('POST', {}));
  }

  /** Start the tracking server, and return how it is once it answers. */
  start(): Promise<ITracking> {
    return this._server.json('experiments/start', sent('POST', {}));
  }

  /** A filter that is no filter is refused with `invalid_request`, and where: `details.position`. */
  runs(question: IRunQuestion, signal?: AbortSignal): Promise<IRunPage> {
    return this._server.json('experiments/runs/search', {
      ...sent('POST', question),
      signal
    });
  }

  keys(question: IKeyQuestion, signal?: AbortSignal): Promise<IKeys> {
    const { experiment, search = '', limit = 100 } = question;
    const query = { experiment, search, limit: `${limit}` };
    return this._server.json(asking('experiments/columns', query), { signal });
  }

  async curves(
    question: ICurveQuestion,
    signal?: AbortSignal
  ): Promise<readonly ICurve[]> {
    const { curves } = await this._server.json<{ curves: ICurve[] }>(
      'experiments/curves',
      { ...sent('POST', question), signal }
    );
    return curves;
  }

  run(id: string, signal?: AbortSignal): Promise<IRunDetail> {
    return this._server.json(`experiments/runs/${id}`, { signal });
  }

  changeRun(id: string, change: IRunChange): Promise<IRunDetail> {
    return this._server.json(`experiments/runs/${id}`, sent('PATCH', change));
  }

  deleteRuns(runs: readonly string[]): Promise<IDone> {
    return this._server.json('experiments/runs/delete', sent('POST', { runs }));
  }

  undeleteRuns(runs: readonly string[]): Promise<IDone> {
    return this._server.json(
      'experiments/runs/undelete',
      sent('POST', { runs })
    );
  }

  artifacts(
    id: string,
    path: string,
    signal?: AbortSignal
  ): Promise<IArtifacts> {
    const at = asking(`experiments/runs/${id}/artifacts`, { path });
    return this._server.json(at, { signal });
  }

  preview(id: string, path: string, signal?: AbortSignal): Promise<IPreview> {
    const at = asking(`experiments/runs/${id}/preview`, { path });
    return this._server.json(at, { signal });
  }

  /** The whole of an artifact as text. */
  async text(id: string, path: string, signal?: AbortSignal): Promise<string> {
    const at = asking(`experiments/runs/${id}/raw`, { path });
    return (await this._server.open(at, { signal })).text();
  }

  /** The address of an artifact's bytes, for an image, a frame or a download. */
  rawUrl(id: string, path: string, isDownload = false): string {
    const query = { path, ...(isDownload && { download: '1' }) };
    return this._url(asking(`experiments/runs/${id}/raw`, query));
  }

  compare(runs: readonly string[], signal?: AbortSignal): Promise<IComparison> {
    return this._server.json('experiments/compare', {
      ...sent('POST', { runs }),
      signal
    });
  }

  /** How the code of two runs differs. */
  diff(a: string, b: string, signal?: AbortSignal): Promise<ICodeDiff> {
    return this._server.json(asking('experiments/diff', { a, b }), { signal });
  }

  /** Have a model say how these runs differ. */
  async *explain(
    runs: readonly string[],
    signal: AbortSignal
  ): AsyncGenerator<ExplainEvent, void, undefined> {
    const response = await this._server.open('experiments/explain', {
      ...sent('POST', { runs }),
      signal
    });
    yield* this._server.events<ExplainEvent>(response, signal);
  }

  restoreCode(id: string, question: IRestoreQuestion): Promise<IRestored> {
    return this._server.json(
      `experiments/runs/${id}/restore-code`,
      sent('POST', question)
    );
  }

  async models(search = '', signal?: AbortSignal): Promise<readonly IModel[]> {
    const { models } = await this._server.json<{ models: IModel[] }>(
      asking('experiments/models', { search }),
      { signal }
    );
    return models;
  }

  register(id: string, question: IRegisterQuestion): Promise<IRegistered> {
    return this._server.json(
      `experiments/runs/${id}/register`,
      sent('POST', question)
    );
  }

  async setAlias(name: string, alias: string, version: string): Promise<void> {
    const body = { name, alias, version };
    await this._server.open('experiments/models/alias', sent('PUT', body));
  }

  async removeAlias(
    name: string,
    alias: string,
    version: string
  ): Promise<void> {
    const body = { name, alias, version };
    await this._server.open('experiments/models/alias', sent('DELETE', body));
  }

  async setModelTag(
    name: string,
    version: string,
    key: string,
    value: string
  ): Promise<void> {
    const body = { name, version, key, value };
    await this._server.open('experiments/models/tag', sent('POST', body));
  }

  /** The address of a file with these runs. */
  csvUrl(question: ICsvQuestion): string {
    const { experiments, filter, order_by, columns, view, runs } = question;
    // Lists are names given again and again, since a column may hold any sign.
    const query = new URLSearchParams([
      ...experiments.map(id => ['experiment', id]),
      ['filter', filter],
      ...order_by.map(key => ['order_by', key]),
      ...columns.map(key => ['columns', key]),
      ...(view ? [['view', view]] : []),
      ...(runs ?? []).map(id => ['runs', id])
    ] as [string, string][]);
    return this._url(`experiments/csv?${query}`);
  }

  /** What the cells of a notebook made; `notebook` is below the workspace. */
  async cells(
    notebook: string,
    signal?: AbortSignal
  ): Promise<Readonly<Record<string, ICellRuns>>> {
    const at = asking('experiments/cells', { notebook });
    const { cells } = await this._server.json<ICells>(at, { signal });
    return cells;
  }

  /** The address of MLflow's own pages. */
  get mlflowUrl(): string {
    return this._url('mlflow/');
  }

  private _url(path: string): string {
    return URLExt.join(this._base, 'aidp', path);
  }
}

/** Where in a filter a fault is; null where the error is another one. */
export function positionOf(error: unknown): number | null {
  const at = error instanceof AidpError ? error.details['position'] : null;
  return typeof at === 'number' ? at : null;
}

function asking(path: string, query: Record<string, string>): string {
  return path + URLExt.objectToQueryString(query);
}

function sent(method: string, body: unknown): RequestInit {
  return {
    method,
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body)
  };
}
