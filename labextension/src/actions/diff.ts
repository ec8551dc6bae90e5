/** Compares texts and shows how they differ. Loaded when it is needed first. */
import { diff, unifiedMergeView } from '@codemirror/merge';
import type { Extension } from '@codemirror/state';
import { EditorState, RangeSetBuilder, Text } from '@codemirror/state';
import type { DecorationSet } from '@codemirror/view';
import { Decoration, EditorView } from '@codemirror/view';
import type { IDisposable } from '@lumino/disposable';

import type { IHunk } from './hunks';

/** For large texts that have little in common a rough answer is enough. */
const EFFORT = { scanLimit: 500, timeout: 200 };
/** How many different lines have a sign of their own: all characters that are one unit and no half of a pair. */
const SIGNS = 0xd800;

/** Which lines differ. Those with nothing but blank lines between them are one place. */
export function differ(before: string, after: string): IHunk[] {
  const [a, b] = [before.split('\n'), after.split('\n')];
  const signs = new Map<string, string>();
  const signed = (lines: readonly string[]) =>
    lines
      .map(line => {
        const sign = signs.get(line) ?? String.fromCharCode(signs.size);
        signs.set(line, sign);
        return sign;
      })
      .join('');
  const [textA, textB] = [signed(a), signed(b)];
  const changes =
    signs.size < SIGNS
      ? diff(textA, textB, EFFORT)
      : [{ fromA: 0, toA: a.length, fromB: 0, toB: b.length }];
  const places: { fromA: number; toA: number; fromB: number; toB: number }[] =
    [];
  for (const { fromA, toA, fromB, toB } of changes) {
    const last = places.at(-1);
    if (last && a.slice(last.toA, fromA).every(line => !line.trim())) {
      last.toA = toA;
      last.toB = toB;
    } else {
      places.push({ fromA, toA, fromB, toB });
    }
  }
  return places.map(({ fromA, toA, fromB, toB }) => ({
    from: fromA,
    to: toA,
    lines: b.slice(fromB, toB)
  }));
}

/** What a diff shows. */
export interface IShown {
  readonly before: string;
  readonly after: string;
  /** The lines of `after` that are looked at. */
  readonly from: number;
  readonly to: number;
}

/** Two texts as one, with what would go and what would come. Nobody can write in it. */
export class DiffView implements IDisposable {
  constructor(
    host: HTMLElement,
    private _options: {
      readonly label: string;
      readonly language: Extension;
      readonly theme: Extension;
      /** A line of `after` was clicked. */
      readonly onPick: (line: number) => void;
    }
  ) {
    this._view = new EditorView({ parent: host });
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  show({ before, after, from, to }: IShown): void {
    const { label, language, theme, onPick } = this._options;
    const doc = Text.of(after.split('\n'));
    const last = Math.min(to, doc.lines);
    const marks = new RangeSetBuilder<Decoration>();
    for (let number = from + 1; number <= last; number++) {
      const { from: at } = doc.line(number);
      marks.add(at, at, CURRENT);
    }
    const state = EditorState.create({
      doc,
      extensions: [
        theme,
        language,
        EditorState.readOnly.of(true),
        EditorView.editable.of(false),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({
          'aria-label': label,
          'aria-multiline': 'true',
          'aria-readonly': 'true',
          'data-lm-suppress-shortcuts': 'true',
          role: 'textbox',
          tabindex: '0'
        }),
        EditorView.decorations.of(marks.finish() as DecorationSet),
        EditorView.domEventHandlers({
          mousedown: (event, view) => {
            const at = view.posAtCoords({ x: event.clientX, y: event.clientY });
            if (at !== null) {
              onPick(view.state.doc.lineAt(at).number - 1);
            }
          }
        }),
        unifiedMergeView({
          original: Text.of(before.split('\n')),
          mergeControls: false,
          gutter: false,
          diffConfig: EFFORT,
          collapseUnchanged: { margin: 2, minSize: 6 }
        })
      ]
    });
    this._view.setState(state);
    const line = doc.line(Math.min(from + 1, doc.lines));
    this._view.dispatch({
      effects: EditorView.scrollIntoView(line.from, {
        y: 'nearest',
        yMargin: 40
      })
    });
  }

  dispose(): void {
    this._isDisposed = true;
    this._view.destroy();
  }

  private _isDisposed = false;
  private _view: EditorView;
}

const CURRENT = Decoration.line({ class: 'jp-AidpChange-current' });
