import type { IDisposable } from '@lumino/disposable';
import { Debouncer } from '@lumino/polling';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { IContextGatherer } from '../ai/context/tokens';
import type {
  IContext,
  IContextItem,
  IContextQuestion
} from '../ai/context/wire';
import { mentionsIn, withCellIds } from './mentions';
import type { ISentContext } from './wire';

/** How long a message may wait for its context; then it goes without. */
const LIMIT_MS = 1500;
/** How long the work and the words have to rest before what goes along is looked up again. */
const REST_MS = 500;
/** How many items a message names; chats are files. */
const NAMED = 40;

/** What a question is about, where the asker says so. */
export interface IAbout {
  readonly widget?: Widget | null;
  readonly cell?: string;
}

export interface IChatContextOptions {
  readonly gatherer: IContextGatherer | null;
  /** Ask the server what of the work would be told. */
  readonly choose: (
    question: IContextQuestion,
    signal: AbortSignal
  ) => Promise<IContext>;
  /** Whether someone sees it. */
  readonly isSeen: () => boolean;
  /** Whether this chat tells of the work, kept beyond the page. */
  readonly kept: {
    load(): Promise<boolean>;
    save(isOn: boolean): Promise<void>;
  };
}

/** Nothing goes along. */
export const NOTHING: ISentContext = { context: null, summary: '', items: [] };
/** Nothing shall, whatever the server could find. */
export const OFF: ISentContext = { ...NOTHING, off: true };

export const keyOf = ({ kind, id }: Pick<IContextItem, 'kind' | 'id'>) =>
  `${kind}:${id}`;

/** What of the user's work goes along with the next message of one chat. */
export class ChatContext implements IDisposable {
  constructor(private _options: IChatContextOptions) {
    this._rested = new Debouncer(() => this._look(), REST_MS);
    this._loaded = _options.kept.load().then(
      isOn => {
        this._isOn = isOn;
        this._changed.emit();
      },
      () => undefined
    );
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Whether this chat tells of the work at all. */
  get isOn(): boolean {
    return this._isOn;
  }

  set isOn(isOn: boolean) {
    this._isOn = isOn;
    this._changed.emit();
    void this._options.kept.save(isOn);
    this.refresh();
  }

  /** What would go along now; null until it is known. */
  get items(): readonly IContextItem[] | null {
    return this._items;
  }

  /** What would not, because of a rule. */
  get withheld(): readonly IContextItem[] {
    return this._withheld;
  }

  /** How much the user took out of the next message. */
  get excluded(): number {
    return this._excluded.size;
  }

  /** The words that are being written. */
  set draft(draft: string) {
    if (draft !== this._draft) {
      this._draft = draft;
      this.refresh();
    }
  }

  /** Leave something out of the next message. */
  exclude(item: IContextItem): void {
    this._excluded.add(keyOf(item));
    this._items = this._items?.filter(one => one !== item) ?? null;
    this._changed.emit();
    this.refresh();
  }

  /** Put back what was left out. */
  restore(): void {
    this._excluded.clear();
    this._changed.emit();
    this.refresh();
  }

  /** Look up what goes along, once the work rests; only while someone sees it. */
  refresh(): void {
    if (this._isOn && this._options.isSeen()) {
      void this._rested.invoke().catch(() => undefined);
    }
  }

  /**
   * Have the server keep what is to be told beside a message, and name it. Never rejects, and never takes long: what
   * is not there in time does not go along. What was left out of this message may go along with the next.
   */
  async take(body: string, about: IAbout = {}): Promise<ISentContext> {
    const excluded = new Set(this._excluded);
    this._excluded.clear();
    await this._loaded;
    if (!this._isOn) {
      return OFF;
    }
    const limit = AbortSignal.timeout(LIMIT_MS);
    try {
      return await Promise.race([
        this._take(body, about, excluded, limit),
        new Promise<never>((_, reject) =>
          limit.addEventListener('abort', () => reject(limit.reason))
        )
      ]);
    } catch {
      return NOTHING;
    }
  }

  dispose(): void {
    this._isDisposed = true;
    this._abort.abort();
    this._rested.dispose();
    Signal.clearData(this);
  }

  private async _take(
    body: string,
    about: IAbout,
    excluded: ReadonlySet<string>,
    signal: AbortSignal
  ): Promise<ISentContext> {
    const question = this._question(body, about, excluded, true);
    if (!question) {
      return NOTHING;
    }
    const { id, summary, items } = await this._options.choose(question, signal);
    return {
      context: id,
      summary,
      items: items
        .slice(0, NAMED)
        .map(({ kind, id, label }) => ({ kind, id, label }))
    };
  }

  private async _look(): Promise<void> {
    this._abort.abort();
    const { signal } = (this._abort = new AbortController());
    try {
      const question = this._question(this._draft, {}, this._excluded, false);
      const chosen = question && (await this._options.choose(question, signal));
      if (!signal.aborted) {
        this._items = chosen?.items ?? [];
        this._withheld = chosen?.withheld ?? [];
      }
    } catch {
      if (!signal.aborted) {
        this._items = [];
        this._withheld = [];
      }
    }
    if (!signal.aborted) {
      this._changed.emit();
    }
  }

  private _question(
    query: string,
    about: IAbout,
    excluded: ReadonlySet<string>,
    keep: boolean
  ): IContextQuestion | null {
    const { gatherer } = this._options;
    if (!gatherer) {
      return null;
    }
    const wish = { ...about, task: 'chat', query, keep };
    const named = mentionsIn(query);
    const mentions = named.some(one => one.startsWith('cell:'))
      ? withCellIds(named, gatherer.question(wish).document?.cells ?? [])
      : named;
    return {
      ...gatherer.question({ ...wish, mentions }),
      exclude: [...excluded]
    };
  }

  private _abort = new AbortController();
  private _changed = new Signal<this, void>(this);
  private _draft = '';
  private _excluded = new Set<string>();
  private _isDisposed = false;
  private _isOn = true;
  private _items: readonly IContextItem[] | null = null;
  private _loaded: Promise<void>;
  private _rested: Debouncer;
  private _withheld: readonly IContextItem[] = [];
}
