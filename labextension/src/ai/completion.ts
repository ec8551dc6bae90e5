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

import { asAidpError } from '../shared/request';
import type { AiApi } from './api';
import type { Feedback } from './feedback';
import type { IPlace } from './suggestion';
import { Suggestion } from './suggestion';
import type { IAiModel, ICall } from './tokens';
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

/** What is known of a document beyond the text in the editor. */
export interface ISurroundings {
  /** False in prose, where nothing is suggested unless asked for. */
  readonly isCode: boolean;
  /** What comes before: the notebook's earlier cells. */
  readonly before: string;
  /** The document's path below the server's root; empty where there is none. */
  readonly path: string;
}

export interface IProviderOptions {
  readonly api: Pick<AiApi, 'complete'>;
  readonly model: Pick<IAiModel, 'track' | 'count' | 'reachable'>;
  readonly feedback: Pick<Feedback, 'add'>;
  /** `limit`: how many characters of what comes before. */
  readonly surroundings: (context: Context, limit: number) => ISurroundings;
  readonly icon?: LabIcon;
}

/** How many suggestions are remembered. */
const REMEMBERED = 24;

/** Lab hands over its whole completion context, although the type promises less. */
type Context = IInlineCompletionContext & Partial<ICompletionContext>;

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

  /** Set by the plugin before the first suggestion. */
  set settings(settings: ICompletionSettings) {
    this._leave();
    this._memory = [];
    this._settings = settings;
  }

  async fetch(
    request: CompletionHandler.IRequest,
    context: Context
  ): Promise<IInlineCompletionList> {
    this._serving = null;
    const { editor } = context;
    const asked = context.triggerKind === InlineCompletionTriggerKind.Invoke;
    if (!editor || !this._settings) {
      return { items: [] };
    }
    const { isCode, before, path } = this._options.surroundings(
      context,
      this._settings.cellCharacters
    );
    // Lab counts characters, strings count UTF-16 units: they differ after an emoji.
    const offset = Text.charIndexToJsIndex(request.offset, request.text);
    const place = split(request.text, offset, before);
    const wanted =
      this._settings.enabled &&
      isCode &&
      place.prefix.trim() !== '' &&
      this._options.model.reachable;
    if (!asked && !wanted) {
      this._leave();
      return { items: [] };
    }

    const suggestion =
      this._remembered(place, asked) ??
      this._request(place, asked, { path, conversation: editor.uuid });
    this._enter(suggestion, editor);
    const token = `${++this._tokens}`;
    const serving = (this._serving = { token, suggestion, place });
    // Only text is handed to Lab: an empty suggestion would catch the Tab key.
    while (this._serving === serving) {
      const insertText = suggestion.visible(place);
      if (insertText) {
        setTimeout(() => this._seen(suggestion));
        const isIncomplete = !suggestion.done;
        return { items: [{ insertText, isIncomplete, token }] };
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
    return this._current !== null && this._isPainted(this._current.editor);
  }

  /** Count a suggestion as accepted. Called after Lab's command, which also serves other providers: did it land? */
  accepted(): void {
    if (this._whole) {
      this._settle(this._whole, 'accepted');
    } else if (this._current) {
      const { suggestion, editor } = this._current;
      const place = placeOf(editor, suggestion);
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
    if (this._current && this.isShown) {
      const { suggestion, editor } = this._current;
      const text = suggestion.visible(placeOf(editor, suggestion));
      const word = /^\s*([\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]+)/u.exec(text);
      if (word) {
        // As Lab inserts the whole: text and cursor in one step, so that nobody sees one without the other.
        const view = (editor as CodeMirrorEditor).editor;
        view.dispatch(view.state.replaceSelection(word[0]));
        this._settle(suggestion, 'accepted');
      }
    }
  }

  /** Take away what is shown. Lab has no call for that, but does it when the editor loses the focus. */
  dismiss(): void {
    const editor = this._current?.editor;
    editor?.blur();
    editor?.focus();
  }

  private _remembered(place: IPlace, asked: boolean): Suggestion | undefined {
    return this._memory.find(
      suggestion =>
        suggestion.follows(place) &&
        (!suggestion.done ||
          suggestion.visible(place) !== '' ||
          // The model had nothing to say here. It is believed, unless the user insists.
          (place.prefix.length === suggestion.at && !asked))
    );
  }

  private _request(place: IPlace, asked: boolean, origin: IOrigin): Suggestion {
    const { prefixCharacters, suffixCharacters, debounce } = this._settings!;
    const suggestion = new Suggestion(place, {
      prefix: prefixCharacters,
      suffix: suffixCharacters
    });
    void this._run(suggestion, origin, asked ? 0 : debounce);
    return suggestion;
  }

  private async _run(
    suggestion: Suggestion,
    origin: IOrigin,
    delay: number
  ): Promise<void> {
    const { api, model } = this._options;
    const { maxTokens, temperature, lines } = this._settings!;
    const { before, prefix, suffix } = suggestion.origin;
    const { signal } = suggestion.abort;
    const isMidLine = /^[^\n]*\S/.test(suffix);
    const single = lines === 'single' || (lines === 'auto' && isMidLine);
    let call: ICall | undefined;
    try {
      await pause(delay, signal);
      call = model.track();
      const { by, text } = await api.complete(
        {
          prompt: before + prefix,
          suffix,
          max_tokens: maxTokens,
          temperature,
          ...(single && { stop: ['\n'] })
        },
        origin,
        signal
      );
      call.answeredBy(by);
      suggestion.route = by.route;
      for await (const piece of text) {
        call.arrived();
        suggestion.append(piece);
      }
      call.done();
    } catch (error) {
      this._forget(suggestion);
      if (signal.aborted) {
        call?.cancelled();
      } else {
        call?.failed(asAidpError(error));
      }
    } finally {
      suggestion.finish();
    }
  }

  /** Make a suggestion the one that the user sees, and leave it once the text no longer follows from it. */
  private _enter(suggestion: Suggestion, editor: CodeEditor.IEditor): void {
    const others = this._memory.filter(other => other !== suggestion);
    this._memory = [suggestion, ...others.slice(0, REMEMBERED - 1)];
    if (
      this._current?.suggestion === suggestion &&
      this._current.editor === editor
    ) {
      return;
    }
    this._leave();
    suggestion.isShown = false;
    suggestion.outcome = null;
    suggestion.reached = placeOf(editor, suggestion).prefix.length;

    const { sharedModel, selections } = editor.model;
    const moved = () => {
      // In a change the text comes before the cursor or after it: look when both are there.
      queueMicrotask(() => {
        if (this._current === current) {
          const { start, end } = editor.getSelection();
          const isCursor =
            start.line === end.line && start.column === end.column;
          const place = placeOf(editor, suggestion);
          if (isCursor && suggestion.follows(place)) {
            suggestion.reached = place.prefix.length;
          } else {
            this._leave();
          }
        }
      });
    };
    const changed = () => {
      // Lab, told first, may have asked for the new text already.
      const served = this._serving?.place;
      if (served && served.prefix + served.suffix !== sharedModel.getSource()) {
        this._serving = null;
      }
      moved();
    };
    const blurred = (event: FocusEvent) => {
      const target = event.relatedTarget as Element | null;
      if (!target?.closest?.('.jp-InlineCompleter')) {
        this._leave();
      }
    };
    sharedModel.changed.connect(changed);
    selections.changed.connect(moved);
    editor.host.addEventListener('focusout', blurred);
    const current = (this._current = {
      suggestion,
      editor,
      unwatch: () => {
        sharedModel.changed.disconnect(changed);
        selections.changed.disconnect(moved);
        editor.host.removeEventListener('focusout', blurred);
      }
    });
  }

  private _leave(): void {
    const current = this._current;
    this._current = null;
    this._serving = null;
    if (!current) {
      return;
    }
    const { suggestion, editor, unwatch } = current;
    unwatch();
    const place = placeOf(editor, suggestion);
    if (suggestion.follows(place) && !suggestion.visible(place)) {
      // All of it is in the text: accepted, if Lab's command did it, which is known in a moment; else written by hand.
      this._whole = suggestion;
      queueMicrotask(() => (this._whole = null));
    } else {
      this._settle(suggestion, 'rejected');
    }
    if (!suggestion.done) {
      this._forget(suggestion);
      suggestion.abort.abort();
    }
  }

  private _forget(suggestion: Suggestion): void {
    this._memory = this._memory.filter(other => other !== suggestion);
  }

  private _seen(suggestion: Suggestion): void {
    const current = this._current;
    if (
      current?.suggestion === suggestion &&
      !suggestion.isShown &&
      this._isPainted(current.editor)
    ) {
      suggestion.isShown = true;
      this._options.model.count('shown');
    }
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

  /** Lab may hold a suggestion back, or show another provider's: only the painted text is the truth. */
  private _isPainted(editor: CodeEditor.IEditor): boolean {
    return !!editor.host.querySelector(
      `.jp-GhostText[data-provided-by="${this.identifier}"]`
    );
  }

  private _current: {
    readonly suggestion: Suggestion;
    readonly editor: CodeEditor.IEditor;
    readonly unwatch: () => void;
  } | null = null;
  private _memory: readonly Suggestion[] = [];
  private _serving: {
    readonly token: string;
    readonly suggestion: Suggestion;
    readonly place: IPlace;
  } | null = null;
  private _settings: ICompletionSettings | null = null;
  private _tokens = 0;
  private _whole: Suggestion | null = null;
}

function split(text: string, offset: number, before: string): IPlace {
  return { before, prefix: text.slice(0, offset), suffix: text.slice(offset) };
}

/** Where the cursor is now, in a document whose earlier cells are those of the suggestion. */
function placeOf(editor: CodeEditor.IEditor, { origin }: Suggestion): IPlace {
  const offset = editor.getOffsetAt(editor.getCursorPosition());
  return split(editor.model.sharedModel.getSource(), offset, origin.before);
}

/** Wait; an abort ends it with an error. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    });
  });
}
