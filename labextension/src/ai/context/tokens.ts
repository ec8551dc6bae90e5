import { Token } from '@lumino/coreutils';
import type { Widget } from '@lumino/widgets';

import type { IContext, IContextQuestion, IKernelSaid } from './wire';

/** What a caller wants context for; all else is read from the user's work. */
export interface IContextWish {
  readonly task: string;
  /** The document's widget: a notebook, a file editor or a console; the current one of the main area by default. */
  readonly widget?: Widget | null;
  /** The cell that it is about; the active one by default. */
  readonly cell?: string;
  readonly query?: string;
  readonly mentions?: readonly string[];
  /** Items that the user took out, as `kind:id`. */
  readonly exclude?: readonly string[];
  readonly budget?: number;
  readonly keep?: boolean;
}

/** Gathers what is on the user's screen and asks the server what of it a model should be told. */
export interface IContextGatherer {
  /** What the server would be told, without asking it. Synchronous: it reads what is there, no kernel is asked. */
  question(wish: IContextWish): IContextQuestion;
  /** Ask the server. */
  choose(wish: IContextWish, signal: AbortSignal): Promise<IContext>;
  /** What is known of the kernel of a document; null where the user has not allowed it or nothing is known. */
  kernel(widget: Widget): IKernelSaid | null;
  /** Ask the kernel now, if it is idle and the user allows it; never waits for a busy kernel. */
  look(widget: Widget): Promise<void>;
}

export const IContextGatherer = new Token<IContextGatherer>(
  'aidp-ext:IContextGatherer',
  'What a model is told beside the question: cells, variables, open files.'
);
