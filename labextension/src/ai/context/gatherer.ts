import type { Widget } from '@lumino/widgets';

import type { AiApi } from '../api';
import type { DocumentReader } from './documents';
import type { KernelLook } from './kernel';
import type { IContextGatherer, IContextWish } from './tokens';
import type { IContext, IContextQuestion, IKernelSaid } from './wire';

/** The most characters of context unless a caller says otherwise; the server's default too. */
const BUDGET = 12_000;
const QUERY = 20_000;
/** Of a kernel that nobody asked: that values may be told all the same, as outputs show them. */
const VALUES: IKernelSaid = {
  language: 'python',
  state: 'none',
  taken_at: null,
  variables: [],
  allows_values: true
};

export interface IGathererOptions {
  readonly api: Pick<AiApi, 'context'>;
  readonly documents: DocumentReader;
  readonly kernels: Pick<KernelLook, 'said' | 'look' | 'allowed'>;
  /** The document that the user is in, or was in last. */
  readonly current: () => Widget | null;
}

/** What is on the user's screen, as a question for the server. */
export class ContextGatherer implements IContextGatherer {
  constructor(private _options: IGathererOptions) {}

  question(wish: IContextWish): IContextQuestion {
    const { documents, kernels, current } = this._options;
    const given = wish.widget ?? null;
    const widget = given && documents.knows(given) ? given : current();
    const mentions = wish.mentions ?? [];
    const cells = mentions
      .filter(mention => mention.startsWith('cell:'))
      .map(mention => mention.slice('cell:'.length));
    return {
      task: wish.task,
      document: widget && documents.document(widget, wish.cell, cells),
      kernel:
        (widget && this.kernel(widget)) ??
        (kernels.allowed === 'values' ? VALUES : null),
      open: documents.open(widget),
      query: (wish.query ?? '').slice(-QUERY),
      mentions,
      exclude: wish.exclude ?? [],
      budget: wish.budget ?? BUDGET,
      keep: wish.keep ?? false
    };
  }

  choose(wish: IContextWish, signal: AbortSignal): Promise<IContext> {
    return this._options.api.context(this.question(wish), signal);
  }

  kernel(widget: Widget): IKernelSaid | null {
    const session = this._options.documents.session(widget);
    return session && this._options.kernels.said(session);
  }

  async look(widget: Widget): Promise<void> {
    const session = this._options.documents.session(widget);
    if (session) {
      await this._options.kernels.look(session);
    }
  }
}
