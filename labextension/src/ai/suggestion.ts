import { PromiseDelegate } from '@lumino/coreutils';

import { normalise, tail, trimOverlap } from './text';

/** A place for a suggestion: the text around the cursor, and what comes `before` this editor's text. */
export interface IPlace {
  readonly before: string;
  readonly prefix: string;
  readonly suffix: string;
}

/** How much of a place a model is told. */
export interface ILimits {
  readonly prefix: number;
  readonly suffix: number;
}

/** One answer of a model, while it comes in and after. */
export class Suggestion {
  constructor(place: IPlace, limits: ILimits) {
    this._limits = limits;
    this.at = place.prefix.length;
    this.origin = bounded(place, limits);
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

  /** Whether all of the answer is there. */
  get done(): boolean {
    return this._done;
  }

  /** Resolves when more of the answer came, or its end. */
  get progress(): Promise<void> {
    return this._progress.promise;
  }

  append(piece: string): void {
    this._raw += piece;
    this._text = normalise(this._raw);
    this._tell();
  }

  finish(): void {
    this._done = true;
    this._tell();
  }

  /** Whether the text there is the text here plus some of the suggestion typed. */
  follows(place: IPlace): boolean {
    const { prefix } = place;
    if (
      prefix.length < this.at ||
      !this._text.startsWith(prefix.slice(this.at))
    ) {
      return false;
    }
    const start = bounded(
      { ...place, prefix: prefix.slice(0, this.at) },
      this._limits
    );
    return (
      start.suffix === this.origin.suffix &&
      start.prefix === this.origin.prefix &&
      start.before === this.origin.before
    );
  }

  /** What of it to show at a place that follows from it; it never ends in blank space. */
  visible(place: IPlace): string {
    const typed = place.prefix.length - this.at;
    return trimOverlap(this._text, this.origin.suffix).slice(typed);
  }

  private _tell(): void {
    const told = this._progress;
    this._progress = new PromiseDelegate<void>();
    told.resolve();
  }

  private _done = false;
  private _limits: ILimits;
  private _progress = new PromiseDelegate<void>();
  private _raw = '';
  private _text = '';
}

function bounded(place: IPlace, limits: ILimits): IPlace {
  return {
    before: place.before,
    prefix: tail(place.prefix, limits.prefix),
    suffix: place.suffix.slice(0, limits.suffix)
  };
}
