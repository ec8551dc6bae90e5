import { PromiseDelegate } from '@lumino/coreutils';

import type { IContext } from './context/wire';
import { tail, trimOverlap } from './text';
import { Tidier } from './tidy/postprocess';

/** A place for a suggestion: the text around the cursor, and what comes `before` this editor's text. */
export interface IPlace {
  /** Which text it is in: a cell's or a file's. */
  readonly text: string;
  readonly before: string;
  readonly prefix: string;
  readonly suffix: string;
}

/** How a suggestion is made. */
export interface IMaking {
  /** How many characters of the text before and after the cursor a model is told. */
  readonly prefix: number;
  readonly suffix: number;
  readonly lines: 'auto' | 'single' | 'multiple';
  readonly language: string;
}

/** One answer of a model, while it comes in and after. */
export class Suggestion {
  constructor(
    private _place: IPlace,
    private _making: IMaking,
    readonly context: IContext | null = null
  ) {
    this.at = _place.prefix.length;
    this.origin = bounded(_place, _making);
    this.reached = this.at;
  }

  /** The length of the text before the cursor where it was asked for. */
  readonly at: number;
  /** What the model was told. */
  readonly origin: IPlace;
  /** Ends the request and with it the model's work. */
  readonly abort = new AbortController();
  /** Which model made it; empty until one answers. */
  route = '';
  /** How far the cursor came along it. */
  reached: number;
  /** Whether the user saw it, and what became of it then. */
  isShown = false;
  outcome: 'accepted' | 'rejected' | null = null;
  /** Other answers to the same question, for a user who wants to choose. */
  readonly others: Suggestion[] = [];

  /** Whether all of the answer is there. */
  get done(): boolean {
    return this._done;
  }

  /** Resolves when more of the answer came, or its end. */
  get progress(): Promise<void> {
    return this._progress.promise;
  }

  /** Whether one line is all there is room for. */
  get isSingleLine(): boolean {
    const { lines } = this._making;
    const isMidLine = /^[^\n]*\S/.test(this.origin.suffix);
    return lines === 'single' || (lines === 'auto' && isMidLine);
  }

  /** An answer more to the same question. */
  another(): Suggestion {
    const other = new Suggestion(this._place, this._making, this.context);
    this.others.push(other);
    return other;
  }

  /** Take a piece of the answer; whether more of it is of use. */
  append(piece: string): boolean {
    this._raw += piece;
    this._tidy();
    this._tell();
    return !this._ended;
  }

  finish(): void {
    this._done = true;
    if (this._raw && !this._ended) {
      this._tidy();
    }
    this._tell();
  }

  /** End the work on it and on the others. */
  stop(): void {
    for (const one of [this, ...this.others]) {
      if (!one.done) {
        one.abort.abort();
      }
    }
  }

  /** Whether the text there is the text here plus some of the suggestion, or of another, typed. */
  follows(place: IPlace): boolean {
    return [this, ...this.others].some(one => one._goesOn(place));
  }

  /** What of it to show at a place that follows from it; it never ends in blank space. */
  visible(place: IPlace): string {
    const typed = place.prefix.length - this.at;
    return this._goesOn(place)
      ? trimOverlap(this._text, this.origin.suffix).slice(typed)
      : '';
  }

  /** What the user can choose from at a place, this one first. */
  choices(place: IPlace): string[] {
    const others = this.others.filter(({ done }) => done);
    const texts = [this, ...others].map(one => one.visible(place));
    return [...new Set(texts)].filter(text => text !== '');
  }

  /** Whether it, or another, was typed or inserted to its end. */
  isUsedUp(place: IPlace): boolean {
    return [this, ...this.others].some(
      one => one._goesOn(place) && one.visible(place) === ''
    );
  }

  private _goesOn(place: IPlace): boolean {
    const { prefix } = place;
    if (
      place.text !== this._place.text ||
      prefix.length < this.at ||
      !this._text.startsWith(prefix.slice(this.at))
    ) {
      return false;
    }
    const start = bounded(
      { ...place, prefix: prefix.slice(0, this.at) },
      this._making
    );
    return (
      start.suffix === this.origin.suffix && start.prefix === this.origin.prefix
    );
  }

  private _tidy(): void {
    const { language, lines } = this._making;
    this._tidier ??= new Tidier({ ...this._place, language, lines });
    const { text, ended } = this._tidier.tidy(this._raw, this._done);
    this._text = text;
    this._ended = ended;
  }

  private _tell(): void {
    const told = this._progress;
    this._progress = new PromiseDelegate<void>();
    told.resolve();
  }

  private _done = false;
  /** What comes now is of no use. */
  private _ended = false;
  private _progress = new PromiseDelegate<void>();
  private _raw = '';
  private _text = '';
  /** Made with the first word: most questions are given up before. */
  private _tidier: Tidier | null = null;
}

function bounded(place: IPlace, limits: IMaking): IPlace {
  return {
    ...place,
    prefix: tail(place.prefix, limits.prefix),
    suffix: place.suffix.slice(0, limits.suffix)
  };
}
