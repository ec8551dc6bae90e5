/** What aidp's server says, as it says it. Times are ISO 8601, money is in US dollars. */

/** Where a model runs: on this machine or in the cloud. */
export type Locality = 'local' | 'cloud';

/** How far a text may travel: nowhere, with what is secret replaced, or as it is. */
export type Privacy = 'local' | 'redact' | 'cloud';

/** What a call can be for; the first is what people ask most. */
export const TASKS = [
  'chat',
  'complete',
  'explain',
  'fix',
  'tests',
  'docs',
  'refactor',
  'review',
  'commit-message',
  'agent',
  'embed'
] as const;

/** How the router may choose. */
export interface IMode {
  readonly mode: string;
  readonly label: string;
  readonly description: string;
}

export interface IModes {
  readonly mode: string;
  readonly modes: readonly IMode[];
}

/** A model that the router weighed, with its reason in code and words. */
export interface IOffer {
  readonly route: string;
  readonly label: string;
  readonly locality: Locality;
  readonly reason: string;
  readonly message: string;
}

/** What the router would do with a task now; `route` is null when no model can be reached. */
export interface IDecision {
  readonly mode: string;
  readonly route: string | null;
  readonly label: string | null;
  readonly locality: Locality | null;
  readonly reason: string;
  readonly message: string;
  readonly loaded: boolean | null;
  /** Whether the models are those of a hub's gateway, where only its admin adds one. */
  readonly from_gateway: boolean;
  readonly next_step: string | null;
  readonly offers: readonly IOffer[];
  readonly refused: readonly IOffer[];
}

/** A task to be weighed, without its text. */
export interface IRouteQuestion {
  readonly task: string;
  readonly privacy?: Privacy;
}

export type ProviderState =
  'ready' | 'unreachable' | 'error' | 'unconfigured' | 'disabled';

/** US dollars per million tokens; zeros for what runs here. */
export interface IPrice {
  readonly input: number;
  readonly output: number;
  readonly is_estimated: boolean;
}

export interface IModelInfo {
  readonly id: string;
  readonly route: string;
  readonly label: string;
  readonly locality: Locality;
  readonly capabilities: readonly string[];
  /** In tokens. */
  readonly context_length: number | null;
  readonly state: 'loaded' | 'installed' | 'loading' | 'available';
  readonly loading_since: string | null;
  /** Null when nobody knows it. */
  readonly price: IPrice | null;
  readonly health: 'ok' | 'failing' | 'cooling';
  readonly health_until: string | null;
  readonly latency_ms: number | null;
}

/** Where a provider's key comes from. The key itself is never told. */
export type KeySource =
  'environment' | 'keyring' | 'file' | 'none' | 'not_needed';

export interface IProvider {
  readonly name: string;
  readonly label: string;
  readonly url: string;
  readonly locality: Locality;
  readonly state: ProviderState;
  readonly message: string;
  readonly next_step: string | null;
  readonly checked_at: string | null;
  readonly key: { readonly source: KeySource; readonly editable: boolean };
  readonly can_pull: boolean;
  readonly models: readonly IModelInfo[];
}

export interface IProviders {
  /** False where the keys are the organisation's. */
  readonly keys_allowed: boolean;
  readonly providers: readonly IProvider[];
}

export interface ITestResult {
  readonly ok: boolean;
  readonly ms: number;
  readonly route: string | null;
  readonly message: string;
  readonly next_step: string | null;
}

/** One step of a model's way onto this machine, in bytes. */
export interface IPullStep {
  readonly status: string;
  readonly completed: number | null;
  readonly total: number | null;
}

export interface IBudget {
  readonly scope: 'user' | 'team' | 'deployment';
  readonly name: string;
  readonly period: 'month' | 'day';
  readonly limit_usd: number;
  readonly soft_limit_usd: number | null;
  readonly spent_usd: number;
  /** For calls that are under way. */
  readonly reserved_usd: number;
  readonly resets_at: string;
  readonly state: 'ok' | 'soft' | 'hard';
}

/** What a group of calls came to. */
export interface ISum {
  readonly key: string;
  readonly calls: number;
  readonly errors: number;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly cost_usd: number;
  readonly saved_usd: number;
  readonly local_calls: number;
  /** 0 to 1; null without calls. */
  readonly local_share: number | null;
  readonly latency_ms: number | null;
  readonly accepted: number;
  readonly rejected: number;
}

export const GROUPS = ['model', 'task', 'day', 'user', 'team'] as const;
export type Group = (typeof GROUPS)[number];

export interface IUsage {
  readonly from: string;
  readonly to: string;
  /** The tightest of those that bind the caller. */
  readonly budget: IBudget | null;
  readonly budgets: readonly IBudget[];
  readonly total: ISum;
  readonly today: ISum;
  readonly by: Readonly<Record<Group, readonly ISum[]>>;
}

/** One call to a model, under way (`running`) or over (`ok`, `cancelled`, or the code of an error). */
export interface ICallRecord {
  readonly id: string;
  readonly at: string;
  readonly task: string;
  readonly route: string;
  readonly label: string;
  /** Null when no model was asked. */
  readonly locality: Locality | null;
  readonly reason: string;
  readonly message: string;
  readonly outcome: string;
  readonly cost_usd: number | null;
  readonly prompt_tokens: number | null;
  readonly completion_tokens: number | null;
  readonly ms: number | null;
  readonly first_ms: number | null;
  readonly attempts: number;
  readonly privacy: Privacy;
  /** Why. */
  readonly privacy_message: string;
  /** How many of each kind were replaced. */
  readonly redactions: Readonly<Record<string, number>>;
  /** What left this machine, in bytes. */
  readonly sent_bytes: number;
  readonly notes: readonly string[];
}

/** A text whose way is asked for before it is sent anywhere. */
export interface IPreviewQuestion {
  readonly text: string;
  readonly model: string;
  /** The file that it comes from, below the server's root. */
  readonly path: string;
  readonly privacy: Privacy | null;
}

export interface IFinding {
  readonly kind: string;
  readonly label: string;
  readonly placeholder: string;
  readonly count: number;
}

export interface IPreview {
  readonly route: string | null;
  readonly label: string | null;
  readonly locality: Locality | null;
  readonly message: string;
  readonly privacy: Privacy;
  readonly privacy_message: string;
  /** What that is about: a pattern, a path. */
  readonly privacy_detail: string;
  readonly leaves: boolean;
  /** Where it would go. */
  readonly url: string | null;
  readonly bytes: number;
  /** Exactly what would be sent; null when nothing leaves this machine. */
  readonly body: unknown;
  readonly findings: readonly IFinding[];
  readonly notes: readonly string[];
  readonly next_step: string | null;
}

/** What may be changed of the rules. */
export interface IRuleChange {
  readonly never_leave: readonly string[];
  readonly privacy: Privacy | null;
}

export interface IRules extends IRuleChange {
  readonly file: string;
  readonly exists: boolean;
  /** Why the file cannot be understood; then nothing leaves. */
  readonly problem: string | null;
  readonly admin: IRuleChange;
}

/** What became of the suggestions of one model. */
export interface IFeedback {
  readonly route: string;
  readonly task: string;
  readonly accepted: number;
  readonly rejected: number;
}

export interface ICompletionRequest {
  readonly prompt: string;
  readonly suffix: string;
  readonly max_tokens: number;
  readonly temperature: number;
  readonly stop?: readonly string[];
}

/** Where a completion is asked for. */
export interface IOrigin {
  /** The files that the text comes from, below the server's root. */
  readonly paths: readonly string[];
  /** The editor: its requests are one conversation. */
  readonly conversation: string;
}

/** Which model answers, and why: known before the first word. */
export interface IAnswered {
  readonly route: string;
  readonly reason: string;
  readonly locality: Locality | null;
  readonly attempts: number;
}

export interface ICompletion {
  readonly by: IAnswered;
  readonly text: AsyncGenerator<string, void, undefined>;
}
