/** The Git slice's values as they go over the wire; see aidp_ext/git/models.py. Paths are relative to the top. */

export type ChangeKind =
  | 'added'
  | 'modified'
  | 'deleted'
  | 'renamed'
  | 'copied'
  | 'type'
  | 'untracked'
  | 'conflict';

/** A file that differs from the last commit. */
export interface IChange {
  readonly path: string;
  readonly kind: ChangeKind;
  readonly staged: 'no' | 'yes' | 'partly';
  readonly old_path: string | null;
  readonly added: number | null;
  readonly removed: number | null;
  readonly size: number | null;
  readonly submodule: boolean;
  readonly summary: string | null;
}

export interface IRemote {
  readonly name: string;
  readonly url: string;
  readonly host: string | null;
  readonly full_name: string | null;
}

export interface ICommit {
  readonly id: string;
  readonly subject: string;
  readonly author: string;
  readonly at: string;
}

export type Operation =
  'merge' | 'rebase' | 'cherry-pick' | 'revert' | 'bisect';

/** A repository at a glance. */
export interface IRepositoryState {
  /** Of its top, below the workspace; empty for the workspace itself. */
  readonly path: string;
  readonly name: string;
  /** Null where no branch is checked out. */
  readonly branch: string | null;
  /** Null before the first commit. */
  readonly head: string | null;
  readonly upstream: string | null;
  readonly ahead: number;
  readonly behind: number;
  readonly operation: Operation | null;
  readonly changes: readonly IChange[];
  /** How many changes are not listed. */
  readonly more: number;
  readonly remotes: readonly IRemote[];
  readonly last: ICommit | null;
  readonly can_undo: boolean;
  readonly lock_age_s: number | null;
  readonly fingerprint: string;
}

export interface IUnchanged {
  readonly unchanged: true;
  readonly fingerprint: string;
}

export type Severity = 'block' | 'warn' | 'note';

export interface IFix {
  readonly name: string;
  readonly label: string;
}

/** There is no repository. */
export interface INowhere {
  readonly nowhere: true;
  readonly message: string;
  readonly next_step: string | null;
}

/** A thing to look at before a commit. */
export interface IFinding {
  readonly id: string;
  readonly check: string;
  readonly severity: Severity;
  readonly path: string;
  readonly message: string;
  readonly line: number | null;
  readonly cell: number | null;
  readonly cell_id: string | null;
  readonly size: number | null;
  readonly fixes: readonly IFix[];
  readonly can_waive: boolean;
  readonly output: string | null;
}

export type CheckName =
  | 'conflicts'
  | 'notebooks'
  | 'secrets'
  | 'personal'
  | 'outputs'
  | 'large'
  | 'paths'
  | 'hooks';

export interface ICheckResult {
  readonly name: CheckName;
  readonly findings: readonly IFinding[];
  readonly waived: number;
  readonly skipped: string | null;
  readonly note: string | null;
}

export type PreflightEvent =
  | { readonly kind: 'check'; readonly check: ICheckResult }
  | { readonly kind: 'done'; readonly tree: string; readonly blocking: number };

export type MessageEvent =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'done';
      /** All of it, tidied. */
      readonly text?: string;
      readonly route: string | null;
      readonly locality: string | null;
    };

export interface IAccount {
  readonly host: string;
  readonly kind: 'github' | 'gitlab';
  readonly url: string;
  readonly login: string | null;
  readonly name: string | null;
  readonly email: string | null;
  readonly source: 'hub' | 'keyring' | 'none';
  readonly can_use_device: boolean;
  readonly problem: string | null;
}

/** What the user types in the browser to sign in here. */
export interface IDeviceCode {
  readonly id: string;
  readonly user_code: string;
  readonly verification_uri: string;
  readonly interval_s: number;
  readonly expires_in_s: number;
}

export interface IDeviceState {
  readonly state: 'waiting' | 'done' | 'denied' | 'expired';
  readonly account: IAccount | null;
}

export interface IRemoteRepository {
  readonly full_name: string;
  readonly owner: string;
  readonly name: string;
  readonly description: string | null;
  readonly private: boolean;
  readonly fork: boolean;
  readonly archived: boolean;
  readonly clone_url: string;
  readonly web_url: string;
  readonly default_branch: string | null;
  readonly updated_at: string | null;
  readonly size_kb: number | null;
}

export interface IRepositoryPage {
  readonly repositories: readonly IRemoteRepository[];
  readonly next_page: number | null;
}

export type CloneMode = 'auto' | 'shallow' | 'full';

export interface ICloneQuestion {
  readonly url: string;
  /** Below the workspace. */
  readonly folder: string;
  readonly name?: string;
  readonly mode: CloneMode;
}

export type CloneEvent =
  | {
      readonly kind: 'progress';
      readonly phase: string;
      readonly percent: number | null;
      readonly text: string;
    }
  | {
      readonly kind: 'done';
      readonly path: string;
      /** Below the workspace. */
      readonly open: string | null;
      readonly notes: readonly string[];
    };

export interface IPullRequest {
  readonly number: number;
  readonly title: string;
  readonly url: string;
  readonly state: 'open' | 'closed' | 'merged';
  readonly draft: boolean;
  readonly head: string;
  readonly base: string;
  readonly notes: readonly string[];
}

export interface IForgeCheck {
  readonly name: string;
  readonly state: 'pending' | 'success' | 'failure' | 'neutral';
  readonly url: string | null;
  readonly summary: string | null;
  readonly log_tail: string | null;
}

export interface IForgeChecks {
  readonly state: 'pending' | 'success' | 'failure' | 'none';
  readonly checks: readonly IForgeCheck[];
}

export interface IRequestState {
  readonly pull_request: IPullRequest | null;
  readonly checks: IForgeChecks | null;
}

export interface ISuggestions {
  readonly reviewers: readonly string[];
  readonly labels: readonly string[];
  readonly base: string | null;
  readonly bases: readonly string[];
  readonly template: string | null;
  readonly title: string | null;
}

/** A pull request to be. */
export interface IOpenRequest {
  readonly title: string;
  readonly body: string;
  readonly draft: boolean;
  readonly reviewers: readonly string[];
  readonly labels: readonly string[];
  readonly base: string | null;
}

/** The runs of experiments that a commit of what is chosen will name. */
export interface IRuns {
  readonly runs: readonly string[];
  /** Why they are not known. */
  readonly note: string;
}

/** How a repository stands without its last commit, and what that said. */
export interface IUndone {
  readonly state: IRepositoryState;
  readonly message: string;
}

export type Integration = 'rebase' | 'merge';

export interface IShipQuestion {
  readonly path: string;
  readonly message: string;
  /** The tree that was looked at; null where none was. */
  readonly tree: string | null;
  /** A branch to begin; null stays on the one that is checked out. */
  readonly branch: string | null;
  readonly open: IOpenRequest | null;
  /** Null: as the server does. */
  readonly how: Integration | null;
  /** Findings that the user has seen and goes on with. */
  readonly acknowledge: readonly string[];
  /** Whether the commit names the runs of experiments that its changes made. */
  readonly with_runs: boolean;
}

export type StepName =
  | 'preflight'
  | 'commit'
  | 'fetch'
  | 'integrate'
  | 'push'
  | 'pull-request'
  | 'checks';

export type StepState = 'waiting' | 'running' | 'done' | 'failed' | 'skipped';

export interface IStepError {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>> | null;
}

export interface IShipStep {
  readonly name: StepName;
  readonly state: StepState;
  readonly text: string;
  readonly error: IStepError | null;
}

export type JobState =
  'running' | 'failed' | 'done' | 'cancelled' | 'interrupted';

/** The way from the index to the pull request, which may be gone on with after a failure. */
export interface IShipJob {
  readonly id: string;
  readonly path: string;
  readonly state: JobState;
  readonly steps: readonly IShipStep[];
  readonly message: string;
  readonly branch: string | null;
  readonly commit: string | null;
  readonly pull_request: IPullRequest | null;
  readonly started_at: string;
  readonly updated_at: string;
}

export interface IShipEvent {
  readonly kind: 'job';
  readonly job: IShipJob;
}
