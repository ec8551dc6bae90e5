import '../../../style/experiment-run.css';
import '../../../style/experiment-plot.css';
import '../../../style/experiment-compare.css';

import { ReactWidget } from '@jupyterlab/ui-components';
import { UUID } from '@lumino/coreutils';
import type { Message } from '@lumino/messaging';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';
import * as React from 'react';

import { experimentsIcon } from '../icon';
import type { IExperimentServices } from '../run/services';
import { CompareContent } from './content';
import { CompareProvider } from './context';
import { CompareModel } from './model';

/** A comparison's tab in the main area. */
export class CompareTab extends ReactWidget {
  constructor(
    private _services: IExperimentServices,
    runs: readonly string[],
    id = `aidp-compare-${UUID.uuid4()}`
  ) {
    super();
    const { api, live, trans } = _services;
    this._model = new CompareModel(api, live, runs);
    this.id = id;
    this.addClass('jp-AidpRun');
    this.addClass('jp-AidpCompare');
    this.node.tabIndex = -1;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Comparison of runs'));
    this.title.icon = experimentsIcon;
    this.title.closable = true;
    this._name();
    let known = runs.join();
    this._model.changed.connect(({ runs: now }) => {
      if (now.join() !== known) {
        known = now.join();
        this._name();
        this._changed.emit();
      }
    });
  }

  /** The ids of the runs. */
  get runs(): readonly string[] {
    return this._model.runs;
  }

  /** Runs were added or taken out. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  override dispose(): void {
    this._model.dispose();
    super.dispose();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._model.isVisible = this.isVisible;
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._model.isVisible = true;
  }

  protected override onBeforeHide(message: Message): void {
    super.onBeforeHide(message);
    this._model.isVisible = false;
  }

  protected override onCloseRequest(message: Message): void {
    super.onCloseRequest(message);
    this.dispose();
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    if (!this.node.contains(document.activeElement)) {
      this.node.focus();
    }
  }

  protected override render(): React.ReactElement {
    const value = {
      ...this._services,
      model: this._model,
      prefix: this.id
    };
    return (
      <CompareProvider value={value}>
        <CompareContent />
      </CompareProvider>
    );
  }

  private _name(): void {
    const { trans } = this._services;
    const number = this._model.runs.length;
    this.title.label = trans._n('Compare %1 run', 'Compare %1 runs', number);
  }

  private _changed = new Signal<this, void>(this);
  private _model: CompareModel;
}

/** Show runs side by side in the main area: in the tab that has just these, or in a new one; returns the tab. */
export function openCompare(
  services: IExperimentServices,
  runs: readonly string[],
  /** Of the tab that was open before Lab was loaded again. */
  id?: string
): Widget {
  const { shell } = services.app;
  const wanted = [...new Set(runs)];
  const key = [...wanted].sort().join();
  const known = [...shell.widgets('main')].find(
    widget =>
      widget instanceof CompareTab && [...widget.runs].sort().join() === key
  );
  const tab = known ?? new CompareTab(services, wanted, id);
  if (!known) {
    shell.add(tab, 'main', { type: 'Compare' });
  }
  shell.activateById(tab.id);
  return tab;
}
