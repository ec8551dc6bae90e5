import type { Widget } from '@lumino/widgets';
import * as React from 'react';

import { RunsView } from './list/view';
import type { ExperimentsModel } from './model';
import { Content } from './panel/content';
import type { IExperimentsContext } from './panel/context';
import { PanelProvider } from './panel/context';

interface IShown {
  readonly view: RunsView;
  isSeen: boolean;
}

/** The panels that there are, each with a list of its own. */
export class Panels {
  constructor(
    private _model: ExperimentsModel,
    private _context: IExperimentsContext
  ) {}

  /** The list that a command is about: that of the panel one was in last, of those that are seen. */
  get view(): RunsView | null {
    const all = [...this._all.entries()];
    const inside = all.find(([{ node }]) =>
      node.contains(document.activeElement)
    );
    if (inside) {
      this._last = inside[0];
    }
    const last = this._last ? this._all.get(this._last) : undefined;
    const seen = last?.isSeen ? last : all.find(([, one]) => one.isSeen)?.[1];
    return (seen ?? last ?? all[0]?.[1])?.view ?? null;
  }

  /** Whether a run's row is seen now. */
  sees(run: string): boolean {
    return (
      document.visibilityState === 'visible' &&
      [...this._all.values()].some(
        ({ view, isSeen }) => isSeen && view.seen.some(({ id }) => id === run)
      )
    );
  }

  content(panel: Widget, place: 'side' | 'tab'): React.FC {
    const view = new RunsView(this._model, place);
    this._all.set(panel, { view, isSeen: false });
    const prefix = `jp-aidp-exp-${place}`;
    const value = { ...this._context, view, prefix };
    panel.node.addEventListener('focusin', () => (this._last = panel));
    return () => (
      <PanelProvider value={value}>
        <Content />
      </PanelProvider>
    );
  }

  see(panel: Widget, isSeen: boolean): void {
    const found = this._all.get(panel);
    if (found) {
      found.isSeen = isSeen;
      const isAny = [...this._all.values()].some(one => one.isSeen);
      this._model.isVisible = isAny;
      this._context.clock.isRunning = isAny;
      found.view.isVisible = isSeen;
    }
  }

  leave(panel: Widget): void {
    this.see(panel, false);
    this._all.get(panel)?.view.dispose();
    this._all.delete(panel);
    if (this._last === panel) {
      this._last = null;
    }
  }

  private _all = new Map<Widget, IShown>();
  private _last: Widget | null = null;
}
