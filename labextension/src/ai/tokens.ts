import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';

import type { AidpError } from '../shared/request';
import type { IResource } from '../shared/resource';
import type { IContext } from './context/wire';
import type { IAnswered, IDecision, IMode, IProvider, IUsage } from './wire';

/**
 * The one word for how AI is doing: a local or a cloud model answers, none can be reached, the last call failed,
 * or an answer is slow in coming.
 */
export type AiState = 'local' | 'cloud' | 'none' | 'error' | 'waiting';

/** What became of the suggestions shown since the page was loaded. */
export interface ICounts {
  readonly shown: number;
  readonly accepted: number;
  readonly rejected: number;
}

/** A call to a model, as its caller reports it; `done`, `failed` and `cancelled` end it. */
export interface ICall {
  /** A model was chosen. */
  answeredBy(by: IAnswered): void;
  /** Something of the answer came. */
  arrived(): void;
  done(): void;
  failed(error: AidpError): void;
  cancelled(): void;
}

/** The AI router as the front end knows it: how it is doing, which model it would choose, and why. */
export interface IAiModel {
  /** Something below changed. */
  readonly changed: ISignal<IAiModel, void>;
  /** A call to a model that was reported with `track` is over. */
  readonly callEnded: ISignal<IAiModel, void>;
  readonly state: AiState;
  /** False until the server was asked for the first time. */
  readonly known: boolean;
  /** Whether a call is worth trying. */
  readonly reachable: boolean;
  readonly mode: string;
  readonly modes: readonly IMode[];
  /** What the router would do with a completion now. */
  readonly decision: IDecision | null;
  /** Which model gave the last answer, and why. */
  readonly lastAnswer: IAnswered | null;
  /** What the model was told beside the cell for the suggestion that was seen last; null where nothing was chosen. */
  readonly lastContext: IContext | null;
  /** What stands in the way now. */
  readonly error: AidpError | null;
  readonly counts: ICounts;
  /** Null until asked for with `loadProviders` or `check`. */
  readonly providers: readonly IProvider[] | null;
  /** Whether the user may have keys of their own. */
  readonly keysAllowed: boolean;
  /** What was spent; it is known once someone has asked with `load`. */
  readonly usage: IResource<IUsage>;

  /** Ask for the mode and the route. Never rejects: a failure becomes `error`. */
  refresh(): Promise<void>;
  /** Ask each provider again, then refresh. */
  check(): Promise<void>;
  loadProviders(): Promise<void>;
  setMode(mode: string): Promise<void>;
  /** Report a call to a model, so that the status can tell of it. */
  track(): ICall;
  count(what: keyof ICounts): void;
  /** Report what a model was told for the suggestion that is seen. */
  told(context: IContext | null): void;
}

export const IAiModel = new Token<IAiModel>(
  'aidp-ext:IAiModel',
  'The AI router: its mode, the model that it would choose and why, and how calls fare.'
);

export const CommandIDs = {
  setMode: 'aidp:set-mode',
  openStatus: 'aidp:open-ai-status',
  openPanel: 'aidp:open-ai-panel',
  openSettings: 'aidp:open-ai-settings',
  checkProviders: 'aidp:check-ai-providers',
  toggleCompletion: 'aidp:toggle-inline-completion',
  toggleCompletionHere: 'aidp:toggle-completion-here',
  acceptWord: 'aidp:accept-word',
  acceptLine: 'aidp:accept-line',
  dismiss: 'aidp:dismiss-suggestion'
} as const;
