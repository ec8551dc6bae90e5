import type { IHunk } from './hunks';
import { apply, rebase } from './hunks';
import type { IChange } from './wire';

/** A place where a proposal differs from what is there, and what the user says to it. */
export interface IDecided extends IHunk {
  readonly verdict: 'open' | 'accepted' | 'rejected';
}

/** What one change would do to one text. */
export interface IPart {
  readonly change: IChange;
  /** The text as it is now. */
  readonly original: string;
  readonly hunks: readonly IDecided[];
}

/** Which lines differ. */
export type Differ = (before: string, after: string) => IHunk[];

/** A proposal while it is read: place by place, over all its cells and files. Knows no document. */
export class Review {
  /** Changes that change nothing are left out. */
  constructor(
    changes: readonly IChange[],
    private _differ: Differ
  ) {
    this._parts = changes
      .map(change => {
        const original = change.kind.startsWith('insert')
          ? ''
          : change.original;
        const hunks = _differ(original, change.source);
        return {
          change,
          original,
          hunks: hunks.map(hunk => ({ ...hunk, verdict: 'open' as const }))
        };
      })
      .filter(({ hunks }) => hunks.length > 0);
  }

  get parts(): readonly IPart[] {
    return this._parts;
  }

  /** How many places there are, over all parts. */
  get count(): number {
    return this._parts.reduce((sum, { hunks }) => sum + hunks.length, 0);
  }

  /** Which place is looked at, counted from 0. */
  get current(): number {
    return this._current;
  }

  get part(): IPart {
    return this._parts[this._place()[0]]!;
  }

  /** The place that is looked at. */
  get hunk(): IDecided {
    return this.part.hunks[this._place()[1]]!;
  }

  get open(): number {
    return this._said('open');
  }

  get accepted(): number {
    return this._said('accepted');
  }

  /** Look at the place `by` further on; from the last one it goes on with the first. */
  move(by: number): void {
    this._current = (this._current + by + this.count) % this.count;
  }

  /** Decide on the place that is looked at, and look at the next open one. */
  decide(verdict: 'accepted' | 'rejected'): void {
    const [part, index] = this._place();
    this._change(part, hunks =>
      hunks.map((hunk, at) => (at === index ? { ...hunk, verdict } : hunk))
    );
    this._goToOpen();
  }

  /** Decide on all that is open. */
  decideRest(verdict: 'accepted' | 'rejected'): void {
    this._parts.forEach((_, part) =>
      this._change(part, hunks =>
        hunks.map(hunk =>
          hunk.verdict === 'open' ? { ...hunk, verdict } : hunk
        )
      )
    );
  }

  /** Look at the place at a line of the text that is shown; returns whether there is another one. */
  pick(line: number): boolean {
    const [part, index] = this._place();
    const { hunks } = this._parts[part]!;
    const to = hunks.findIndex(hunk => {
      const [from, end] = linesOf(hunk, hunks);
      return from <= line && line < Math.max(end, from + 1);
    });
    if (to >= 0) {
      this._current += to - index;
    }
    return to >= 0 && to !== index;
  }

  /** What is shown: the text with what is accepted, the same with what is open, too, and where the place is in that. */
  view({ original, hunks }: IPart): {
    readonly before: string;
    readonly after: string;
    readonly from: number;
    readonly to: number;
  } {
    const [from, to] = linesOf(this.hunk, hunks);
    const accepted = hunks.filter(({ verdict }) => verdict === 'accepted');
    return {
      before: apply(original, accepted),
      after: apply(original, hunks.filter(isKept)),
      from,
      to
    };
  }

  /** What is to be done to a part's text. */
  verdict(part: IPart): readonly IHunk[] {
    return part.hunks.filter(({ verdict }) => verdict === 'accepted');
  }

  /**
   * The text of a part is another one by now. Returns whether the proposal still fits: then it is about the new text.
   */
  follow(part: IPart, source: string): boolean {
    if (source === part.original) {
      return true;
    }
    const hunks = rebase(part.hunks, this._differ(part.original, source));
    if (hunks) {
      const fresh: IPart = { ...part, original: source, hunks };
      this._parts = this._parts.map(one => (one === part ? fresh : one));
    }
    return hunks !== null;
  }

  private _change(
    index: number,
    change: (hunks: readonly IDecided[]) => IDecided[]
  ): void {
    this._parts = this._parts.map((part, at) =>
      at === index ? { ...part, hunks: change(part.hunks) } : part
    );
  }

  private _goToOpen(): void {
    const verdicts = this._parts.flatMap(({ hunks }) =>
      hunks.map(({ verdict }) => verdict)
    );
    const after = verdicts.indexOf('open', this._current);
    const next = after < 0 ? verdicts.indexOf('open') : after;
    this._current = next < 0 ? this._current : next;
  }

  private _place(): [part: number, hunk: number] {
    let left = this._current;
    for (const [part, { hunks }] of this._parts.entries()) {
      if (left < hunks.length) {
        return [part, left];
      }
      left -= hunks.length;
    }
    throw new Error('A review has a place at least.');
  }

  private _said(verdict: IDecided['verdict']): number {
    return this._parts
      .flatMap(({ hunks }) => hunks)
      .filter(hunk => hunk.verdict === verdict).length;
  }

  private _current = 0;
  private _parts: readonly IPart[];
}

function isKept({ verdict }: IDecided): boolean {
  return verdict !== 'rejected';
}

/** The lines of a place in the text with all in it that is not rejected. */
function linesOf(
  hunk: IDecided,
  hunks: readonly IDecided[]
): [from: number, to: number] {
  const from = hunks
    .slice(0, hunks.indexOf(hunk))
    .filter(isKept)
    .reduce((sum, { from, to, lines }) => sum + lines.length - to + from, 0);
  const length = isKept(hunk) ? hunk.lines.length : hunk.to - hunk.from;
  return [hunk.from + from, hunk.from + from + length];
}
