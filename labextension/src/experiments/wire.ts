/** The experiments slice's values as they go over the wire; see aidp_ext/experiments/models.py. Times are in ms since 1970. */

/** A number; those that JSON cannot say are words. */
export type Value = number | 'NaN' | 'Infinity' | '-Infinity';

export type RunStatus =
  'RUNNING' | 'SCHEDULED' | 'FINISHED' | 'FAILED' | 'KILLED';

export type Stage = 'active' | 'deleted';

export interface ITracking {
  readonly state: 'off' | 'starting' | 'ready' | 'failed' | 'remote';
  readonly message: string;
  readonly next_step: string | null;
  /** Of whom the tracking server is: this one's child, the admin's, the team's behind the hub. */
  readonly kind: 'local' | 'remote' | 'team';
  /** Whether MLflow's own pages can be opened. */
  readonly ui: boolean;
  readonly progress: string;
}

export interface IRights {
  readonly write: boolean;
  readonly manage: boolean;
}

export interface IExperiment {
  readonly id: string;
  readonly name: string;
  readonly stage: Stage;
  readonly runs: number;
  readonly running: number;
  readonly last_ms: number | null;
  readonly note: string;
  readonly can: IRights;
}

export interface IExperiments {
  readonly experiments: readonly IExperiment[];
  readonly tracking: ITracking;
}

/** The cell that made a run. */
export interface ICellRef {
  /** Below the workspace. */
  readonly notebook: string;
  readonly cell_id: string | null;
  /** How many cells its kernel had run. */
  readonly count: number | null;
}

/** What a list shows of a run. */
export interface IRow {
  readonly id: string;
  readonly name: string;
  readonly experiment_id: string;
  readonly status: RunStatus;
  readonly stage: Stage;
  readonly start_ms: number | null;
  readonly end_ms: number | null;
  readonly user: string;
  /** Of the columns that were asked for: metrics are values, the rest are texts. */
  readonly values: Readonly<Record<string, Value | string | null>>;
  readonly cell: ICellRef | null;
  readonly commit: string | null;
  readonly dirty: boolean | null;
  /** Whether a metric became NaN or infinite. */
  readonly diverged: boolean;
  /** Why it ended where it did not end itself: "process gone", "kernel restarted". */
  readonly ended: string | null;
}

export type View = 'active' | 'deleted' | 'all';

export interface IRunQuestion {
  readonly experiments: readonly string[];
  /** In MLflow's search syntax. */
  readonly filter: string;
  /** In MLflow's words: "metrics.`loss` DESC", "attributes.start_time DESC". */
  readonly order_by: readonly string[];
  readonly view: View;
  readonly offset: number;
  /** At most 500. */
  readonly limit: number;
  /** "metrics.loss", "params.lr", "tags.x". */
  readonly columns: readonly string[];
}

export interface IRunPage {
  readonly runs: readonly IRow[];
  readonly total: number;
  /** The same as long as nothing of these experiments changed. */
  readonly version: string;
}

export interface IMetricKey {
  readonly key: string;
  readonly runs: number;
  readonly min: Value | null;
  readonly max: Value | null;
}

export interface IKey {
  readonly key: string;
  readonly runs: number;
  /** At most 20. */
  readonly values: readonly string[];
}

export interface IKeys {
  readonly metrics: readonly IMetricKey[];
  readonly params: readonly IKey[];
  readonly tags: readonly IKey[];
}

export type Axis = 'step' | 'time' | 'relative';

export interface ICurveQuestion {
  /** At most 100. */
  readonly runs: readonly string[];
  /** At most 20. */
  readonly metrics: readonly string[];
  /** At most 2000; 320 where it is not said. */
  readonly points?: number;
  readonly axis: Axis;
  readonly from?: number;
  readonly to?: number;
}

/** A metric of a run, thinned out: each point stands for those around it, whose extremes are `min` and `max`. */
export interface ICurve {
  readonly run: string;
  readonly metric: string;
  readonly x: readonly number[];
  /** Null where it is not finite. */
  readonly y: readonly (number | null)[];
  readonly min: readonly (number | null)[];
  readonly max: readonly (number | null)[];
  readonly step: readonly number[];
  readonly time_ms: readonly number[];
  /** How many points there are in all. */
  readonly total: number;
  readonly not_finite: number;
}

/** Where a run comes from. */
export interface ILineage {
  readonly notebook: string | null;
  readonly cell_id: string | null;
  readonly count: number | null;
  /** Of the cell as it ran. */
  readonly source: string | null;
  readonly commit: string | null;
  readonly branch: string | null;
  readonly remote: string | null;
  readonly dirty: boolean | null;
  /** The commit that holds what was not committed when it ran. */
  readonly shipped: string | null;
  /** Of the diff that was not committed; null where none is kept. */
  readonly patch_bytes: number | null;
  readonly python: string | null;
  /** How many are recorded. */
  readonly packages: number | null;
  readonly hardware: Readonly<Record<string, unknown>>;
  readonly user: string | null;
  readonly job: string | null;
  readonly seed: string | null;
  /** "done", or "partly: …". */
  readonly captured: string | null;
}

export interface IMetric {
  readonly key: string;
  /** The last one. */
  readonly value: Value;
  readonly step: number;
  readonly time_ms: number;
  readonly min: Value | null;
  readonly max: Value | null;
}

export interface IInput {
  readonly name: string;
  readonly digest: string;
  readonly context: string | null;
}

/** A version of a registered model that a run made. */
export interface IRunModel {
  readonly name: string;
  readonly version: string;
  readonly aliases: readonly string[];
}

/** A model that a run logged, whether it is registered or not. */
export interface ILoggedModel {
  readonly id: string;
  readonly name: string;
  readonly path: string;
}

export interface IRunDetail extends Omit<IRow, 'values'> {
  readonly params: Readonly<Record<string, string>>;
  readonly metrics: readonly IMetric[];
  /** The keys of metrics of the machine. */
  readonly system_metrics: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
  readonly note: string;
  readonly lineage: ILineage;
  readonly inputs: readonly IInput[];
  readonly models: readonly IRunModel[];
  readonly logged_models: readonly ILoggedModel[];
  readonly artifact_root: string;
  readonly can: IRights;
}

export interface IRunChange {
  readonly name?: string;
  readonly note?: string;
  /** Null takes a tag away. */
  readonly tags?: Readonly<Record<string, string | null>>;
  readonly end?: 'KILLED';
}

/** What became of each of several runs. */
export interface IDone {
  readonly done: readonly string[];
  readonly failed: readonly {
    readonly run: string;
    readonly code: string;
    readonly message: string;
  }[];
}

export interface IArtifact {
  readonly path: string;
  readonly name: string;
  readonly is_dir: boolean;
  readonly bytes: number | null;
}

export interface IArtifacts {
  readonly files: readonly IArtifact[];
  readonly is_cut: boolean;
}

export type PreviewKind =
  | 'image'
  | 'table'
  | 'text'
  | 'json'
  | 'html'
  | 'notebook'
  | 'audio'
  | 'video'
  | 'none';

export interface IPreview {
  readonly kind: PreviewKind;
  readonly path: string;
  readonly bytes: number | null;
  readonly mime: string;
  readonly text?: string | null;
  readonly columns?: readonly string[] | null;
  readonly rows?: readonly (readonly (string | number | null)[])[] | null;
  readonly total_rows?: number | null;
  readonly is_cut: boolean;
  /** Why there is nothing to see. */
  readonly why?: string | null;
}

/** One line of a comparison; `values` are in the order of the runs. */
export interface ICompared<T> {
  readonly values: readonly (T | null)[];
  readonly differs: boolean;
}

export interface IComparedKey<T> extends ICompared<T> {
  readonly key: string;
}

export interface IComparison {
  readonly runs: readonly IRow[];
  readonly params: readonly IComparedKey<string>[];
  readonly metrics: readonly IComparedKey<Value>[];
  readonly tags: readonly IComparedKey<string>[];
  readonly packages: readonly (ICompared<string> & {
    readonly name: string;
  })[];
  readonly environment: readonly IComparedKey<string>[];
}

export interface ICellDiff {
  readonly cell_id: string | null;
  readonly state: 'same' | 'changed' | 'only_a' | 'only_b';
  /** Unified. */
  readonly diff: string;
}

export interface ICodeDiff {
  readonly cells: readonly ICellDiff[];
  readonly commit_a: string | null;
  readonly commit_b: string | null;
  readonly patch_diff: string | null;
}

/** The first says which model answers and why, the others are its words. */
export type ExplainEvent =
  | { readonly route: string; readonly reason: string }
  | { readonly text: string };

export interface IRestoreQuestion {
  readonly into: 'notebook' | 'branch';
  readonly path?: string;
  readonly name?: string;
}

export interface IRestored {
  readonly path: string | null;
  readonly branch: string | null;
  readonly commit: string | null;
  readonly environment: string | null;
  readonly notes: readonly string[];
}

export interface IModelVersion {
  readonly version: string;
  readonly run_id: string | null;
  readonly stage_tag: string | null;
  readonly created_ms: number;
  readonly status: string;
}

export interface IModel {
  readonly name: string;
  readonly description: string;
  readonly latest: string | null;
  readonly aliases: Readonly<Record<string, string>>;
  readonly versions: readonly IModelVersion[];
}

export interface IRegisterQuestion {
  readonly name: string;
  readonly artifact?: string;
  readonly model_id?: string;
  readonly alias?: string;
  readonly description?: string;
}

export interface IRegistered {
  readonly name: string;
  readonly version: string;
}

/** What a cell made. */
export interface ICellRuns {
  readonly runs: number;
  readonly running: number;
  readonly last: IRow;
}

export interface ICells {
  readonly cells: Readonly<Record<string, ICellRuns>>;
}

/** What a page wants to be told of; a new wish replaces the one before. */
export interface IWatch {
  readonly experiments: readonly string[];
  readonly runs: readonly string[];
  readonly columns: readonly string[];
  /** The notebooks, below the workspace, whose cells are watched. */
  readonly cells: readonly string[];
}

/** New points of a watched run. */
export interface IPoints {
  readonly run: string;
  readonly metric: string;
  readonly x: readonly number[];
  readonly time_ms: readonly number[];
  readonly y: readonly (number | null)[];
}

export interface IRunsNews {
  readonly experiment: string;
  /** Changed or new. */
  readonly rows: readonly IRow[];
  readonly removed: readonly string[];
  readonly version: string;
}

export type LiveEvent =
  | ({ readonly kind: 'runs' } & IRunsNews)
  | ({ readonly kind: 'points' } & IPoints)
  | { readonly kind: 'ended'; readonly row: IRow }
  | { readonly kind: 'tracking'; readonly state: ITracking }
  | { readonly kind: 'resync' };
