import type { IContextItem } from '../ai/context/wire';
import type { Locality } from '../ai/wire';

/** What goes along with a message: names only, the server keeps the rest. */
export interface ISentContext {
  /** Names the question that the server keeps; null where nothing goes along. */
  readonly context: string | null;
  /** The user wants nothing told but what the message names or has attached. */
  readonly off?: boolean;
  /** `4 cells, 2 dataframes`. */
  readonly summary: string;
  readonly items: readonly Pick<IContextItem, 'kind' | 'id' | 'label'>[];
}

/** What an answer says of itself; each part arrives when it is known. */
export interface IAnswerSaid {
  readonly route?: string | null;
  readonly locality?: Locality | null;
  readonly reason?: string | null;
  readonly message?: string | null;
  readonly cost_usd?: number | null;
  readonly call?: string | null;
  readonly context?: string | null;
  readonly privacy?: string | null;
  readonly stopped?: boolean;
  readonly error?: {
    readonly code?: string;
    readonly message?: string;
    readonly next_step?: string | null;
  } | null;
  readonly task?: string | null;
}

/** One message in which the words stand. */
export interface IChatMatch {
  readonly message: string;
  readonly sender: string;
  readonly text: string;
  readonly time: string | number;
}

/** A chat of the workspace. */
export interface IFoundChat {
  readonly path: string;
  readonly title: string;
  readonly updated_at: string | number;
  readonly messages: number;
  readonly matches: readonly IChatMatch[];
}
