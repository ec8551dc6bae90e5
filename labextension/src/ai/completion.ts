import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { CodeMirrorEditor } from '@jupyterlab/codemirror';
import type {
  CompletionHandler,
  ICompletionContext,
  IInlineCompletionContext,
  IInlineCompletionItem,
  IInlineCompletionList,
  IInlineCompletionProvider
} from '@jupyterlab/completer';
import { InlineCompletionTriggerKind } from '@jupyterlab/completer';
import { Text } from '@jupyterlab/coreutils';
import type { LabIcon } from '@jupyterlab/ui-components';

import type { AiApi } from './api';
import { Asker } from './asking';
import type { Feedback } from './feedback';
import { mark } from './moments';
import { Stay } from './stay';
import type { IPlace } from './suggestion';
import { Suggestion } from './suggestion';
import type { ISurroundings } from './surroundings';
import type { IAiModel } from './tokens';
import type { IOrigin } from './wire';

/** What the user chose; schema/ai.json holds titles and defaults. */
export interface ICompletionSettings {
  readonly enabled: boolean;
  readonly lines: 'auto' | 'single' | 'multiple';
  readonly maxTokens: number;
  readonly temperature: number;
  readonly debounce: number;
  readonly prefixCharacters: number;
  readonly suffixCharacters: number;
  readonly cellCharacters: number;
}

export interface IProviderOptions {
  readonly api: Pick<AiApi, 'complete'>;
  readonly model: Pick<IAiModel, 'track' | 'count' | 'reachable' | 'told'>;
  readonly feedback: Pick<Feedback, 'add'>;
  /** `limit`: how many characters of what comes before. */
  readonly surroundings: (
    context: Context,
    prefix: string,
    limit: number
  ) => ISurroundings;
  /** Have Lab ask again at the cursor. */
  readonly refresh: () => void;
  readonly icon?: LabIcon;
}

/** How many suggestions are remembered. */
const REMEMBERED = 24;
/** A text that changes so long after the last key was changed by something else. */
const LATE_MS = 1000;
/** How freely the second and third suggestion are written. */
const OTHERS = [0.7, 1];

/** Lab hands over its whole completion context, although the type promises less. */
type Context = ICompletionContext & IInlineCompletionContext;

/**
 * Ghost text from aidp's router.
 *
 * Lab asks anew at each key and hands over no AbortSignal. Here a request lives as long as the text under the cursor
 * follows from its answer: typing along is served from what has arrived, without a new request; anything else aborts
 * it, which closes the connection and stops the model.
 */
export class AidpInlineProvider implements IInlineCompletionProvider {
  constructor(private _options: IProviderOptions) {
    this.icon = _options.icon;
    this._asker = new Asker(_options.api, _options.model);
  }

  readonly identifier = 'aidp-ext:inline';
  readonly name = 'aidp';
  readonly icon: LabIcon | undefined;

  /**
   * Lab takes these as the provider's defaults: suggestions in the middle of a line, no delay of Lab's (it would also
   * hold back what is already here; `debounce` holds back requests only), and patience while a model loads.
   */
  readonly schema = {
    default: { autoFillInMiddle: true, debouncerDelay: 0, timeout: 120000 }
  };

  /** When the last key was pressed, by `performance.now()`. */
  keyAt = -Infinity;

  /** Set by the plugin before the first suggestion. */
  set settings(settings: ICompletionSettings) {
    this._leave();
    this._memory = [];
    this._settings = settings;
  }

  async fetch(
    request: CompletionHandler.IRequest,
    context: IInlineCompletionContext & Partial<ICompletionContext>
  ): Promise<IInlineCompletionList> {
    this._serving = null;
    const { editor } = context;
    const asked =
      context.triggerKind === InlineCompletionTriggerKind.Invoke &&
      !this._isInvited;
    this._isInvited = false;
    if (!editor || !this._settings) {
      return { items: [] };
    }
    // Lab counts characters, strings count UTF-16 units: they differ after an emoji.
    const offset = Text.charIndexToJsIndex(request.offset, request.text);
    const prefix = request.text.slice(0, offset);
    const around = this._options.surroundings(
      context as Context,
      prefix,
      this._settings.cellCharacters
    );
    const { text, before } = around;
    const place = { text, before, prefix, suffix: request.text.slice(offset) };
    const wanted =
      this._settings.enabled &&
      around.isWanted &&
      prefix.trim() !== '' &&
      this._options.model.reachable;
    if (!asked && !wanted) {
      this._leave();
      return { items: [] };
    }

    const suggestion =
      this._remembered(place, asked) ??
      this._request(place, asked, around, editor.uuid);
    this._enter(suggestion, editor);
    const token = `${++this._tokens}`;
    const serving = (this._serving = { token, suggestion, place });
    // Only text is handed to Lab: an empty suggestion would catch the Tab key.
    while (this._serving === serving) {
      const choices = suggestion.choices(place);
      if (choices.length > 0) {
        setTimeout(() => this._seen(suggestion));
        const own = suggestion.visible(place);
        return {
          items: choices.map(insertText =>
            insertText === own && !suggestion.done
              ? { insertText, isIncomplete: true, token }
              : { insertText }
          )
        };
      }
      if (suggestion.done) {
        break;
      }
      await suggestion.progress;
    }
    return { items: [] };
  }

  /** The rest of a suggestion. Each reply counts from where the cursor was, so the next key ends it. */
  async *stream(
    token: string
  ): AsyncGenerator<{ response: IInlineCompletionItem }, void, undefined> {
    const serving = this._serving;
    if (serving?.token !== token) {
      return;
    }
    const { suggestion, place } = serving;
    let sent = '';
    while (this._serving === serving) {
      const insertText = suggestion.visible(place);
      if (insertText && insertText !== sent) {
        sent = insertText;
        yield { response: { insertText, isIncomplete: !suggestion.done } };
      } else if (suggestion.done) {
        return;
      } else {
        await suggestion.progress;
      }
    }
  }

  /** Whether the user sees a suggestion of this provider. */
  get isShown(): boolean {
    return this._stay !== null && this._painted(this._stay.editor) !== null;
  }

  /** Count a suggestion as accepted. Called after Lab's command, which also serves other providers: did it land? */
  accepted(): void {
    if (this._whole) {
      this._settle(this._whole, 'accepted');
    } else if (this._stay) {
      const { suggestion, place } = this._stay;
      if (
        place.prefix.length > suggestion.reached &&
        suggestion.follows(place)
      ) {
        this._settle(suggestion, 'accepted');
      }
    }
  }

  /** Insert the next word of what is shown. */
  acceptWord(): void {
    this._accept(/^\s*([\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]+)/u);
  }

  /** Insert the rest of the line of what is shown; at a line's end the next line that is not empty. */
  acceptLine(): void {
    this._accept(/^\s*[^\n]+/);
  }

  /**
   * Ask for the other suggestions that a user who presses *next* wants to see. `onFirst` is called when there is one;
   * Lab shows it when it is asked to go on.
   */
  async cycle(onFirst: () => void): Promise<void> {
    const stay = this._stay;
    if (!stay || !this.isShown || stay.suggestion.others.length > 0) {
      return;
    }
    const { suggestion } = stay;
    const { maxTokens } = this._settings!;
    const origin = this._origins.get(suggestion);
    let isFirst = true;
    for (const temperature of OTHERS) {
      // One after the other: a small machine has one model.
      const known = suggestion.choices(stay.place).length;
      const manner = { maxTokens, temperature, delay: 0 };
      await this._asker.ask(suggestion.another(), origin!, manner);
      if (this._stay !== stay) {
        return;
      }
      if (suggestion.choices(stay.place).length > known) {
        if (isFirst) {
          this._onServed = onFirst;
        }
        isFirst = false;
        this._options.refresh();
      }
    }
  }

  /** Have Lab ask where it does not by itself: in an empty line. It counts as typing, not as the user's wish. */
  invite(): void {
    this._isInvited = true;
    this._options.refresh();
  }

  /** Take away what is shown. Lab has no call for that, but does it when the editor loses the focus. */
  dismiss(): void {
    const editor = this._stay?.editor;
    editor?.blur();
    editor?.focus();
  }

  private _accept(part: RegExp): void {
    const { _stay: stay } = this;
    const painted = stay && this._painted(stay.editor);
    if (!stay || painted === null) {
      return;
    }
    // Lab does not tell which of several is shown.
    const choices = stay.suggestion.choices(stay.place);
    const text = choices.find(one => same(one, painted)) ?? choices[0] ?? '';
    const found = part.exec(text);
    if (found) {
      // As Lab inserts the whole: text and cursor in one step, so that nobody sees one without the other.
      const view = (stay.editor as CodeMirrorEditor).editor;
      view.dispatch(view.state.replaceSelection(found[0]));
      this._settle(stay.suggestion, 'accepted');
    }
  }

  private _remembered(place: IPlace, asked: boolean): Suggestion | undefined {
    return this._memory.find(
      suggestion =>
        suggestion.follows(place) &&
        // What is told first may change meanwhile: that counts for the next request.
        (suggestion === this._stay?.suggestion ||
          suggestion.origin.before === place.before) &&
        (!suggestion.done ||
          suggestion.choices(place).length > 0 ||
          // The model had nothing to say here. It is believed, unless the user insists.
          (place.prefix.length === suggestion.at && !asked))
    );
  }

  private _request(
    place: IPlace,
    asked: boolean,
    { language, context, paths }: ISurroundings,
    conversation: string
  ): Suggestion {
    const settings = this._settings!;
    const { lines, maxTokens, temperature, debounce } = settings;
    const { prefixCharacters: prefix, suffixCharacters: suffix } = settings;
    const making = { prefix, suffix, lines, language };
    const suggestion = new Suggestion(place, making, context);
    const origin = { paths, conversation };
    this._origins.set(suggestion, origin);
    // From the key on, not from when Lab and this page had the time to ask.
    const since = performance.now() - this.keyAt;
    const waited = since < LATE_MS ? since : 0;
    const delay = asked ? 0 : Math.max(0, debounce - waited);
    const manner = { maxTokens, temperature, delay };
    void this._asker.ask(suggestion, origin, manner).then(isWhole => {
      if (!isWhole) {
        this._forget(suggestion);
      }
    });
    return suggestion;
  }

  /** Make a suggestion the one that the user sees, and leave it once the text no longer follows from it. */
  private _enter(suggestion: Suggestion, editor: CodeEditor.IEditor): void {
    const others = this._memory.filter(other => other !== suggestion);
    this._memory = [suggestion, ...others.slice(0, REMEMBERED - 1)];
    if (this._stay?.suggestion === suggestion && this._stay.editor === editor) {
      return;
    }
    this._leave();
    suggestion.isShown = false;
    suggestion.outcome = null;
    this._stay = new Stay(suggestion, editor, {
      changed: source => {
        // Lab, told first, may have asked for the new text already.
        const served = this._serving?.place;
        if (served && served.prefix + served.suffix !== source) {
          this._serving = null;
        }
      },
      left: () => this._leave()
    });
  }

  private _leave(): void {
    const stay = this._stay;
    this._stay = null;
    this._serving = null;
    this._onServed = null;
    if (!stay) {
      return;
    }
    const { suggestion } = stay;
    stay.dispose();
    if (suggestion.isUsedUp(stay.place)) {
      // All of it is in the text: accepted, if Lab's command did it, which is known in a moment; else written by hand.
      this._whole = suggestion;
      queueMicrotask(() => (this._whole = null));
    } else {
      this._settle(suggestion, 'rejected');
    }
    if (!suggestion.done) {
      this._forget(suggestion);
    }
    suggestion.stop();
  }

  private _forget(suggestion: Suggestion): void {
    this._memory = this._memory.filter(other => other !== suggestion);
  }

  private _seen(suggestion: Suggestion): void {
    const stay = this._stay;
    if (
      stay?.suggestion !== suggestion ||
      this._painted(stay.editor) === null
    ) {
      return;
    }
    if (!suggestion.isShown) {
      suggestion.isShown = true;
      mark('painted');
      this._options.model.count('shown');
      this._options.model.told(suggestion.context);
    }
    const onServed = this._onServed;
    this._onServed = null;
    onServed?.();
  }

  private _settle(
    suggestion: Suggestion,
    outcome: 'accepted' | 'rejected'
  ): void {
    if (suggestion.isShown && !suggestion.outcome) {
      suggestion.outcome = outcome;
      this._options.model.count(outcome);
      this._options.feedback.add(suggestion.route, 'complete', outcome);
    }
  }

  /**
   * The suggestion that is painted; null where none is. Lab may hold one back, or show another provider's: only the
   * painted text is the truth.
   */
  private _painted(editor: CodeEditor.IEditor): string | null {
    const ghost = editor.host.querySelector(
      `.jp-GhostText[data-provided-by="${this.identifier}"]`
    );
    return ghost && (ghost.textContent ?? '');
  }

  private _asker: Asker;
  private _isInvited = false;
  private _memory: readonly Suggestion[] = [];
  /** What to do when Lab has been handed what it asked for. */
  private _onServed: (() => void) | null = null;
  private _origins = new WeakMap<Suggestion, IOrigin>();
  private _serving: {
    readonly token: string;
    readonly suggestion: Suggestion;
    readonly place: IPlace;
  } | null = null;
  private _settings: ICompletionSettings | null = null;
  private _stay: Stay | null = null;
  private _tokens = 0;
  private _whole: Suggestion | null = null;
}

/** Whether two texts are the same but for blank space, which ghost text paints in its own way. */
function same(a: string, b: string): boolean {
  return a.replace(/\s/g, '') === b.replace(/\s/g, '');
}
