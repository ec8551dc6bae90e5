import '../../../style/experiment-run.css';
import '../../../style/experiment-plot.css';

import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import type { Widget } from '@lumino/widgets';
import * as React from 'react';

import { Clock } from '../../shared/clock';
import { experimentsIcon } from '../icon';
import { stateOf, stateSign, visible } from '../wording';
import { RunContent } from './content';
import { RunProvider } from './context';
import { RunModel } from './model';
import type { IExperimentServices } from './services';

const MOST_TITLE = 40;

/** A run's tab in the main area. */
export class RunTab extends ReactWidget {
  constructor(
    private _services: IExperimentServices,
    /** The run's id. */
    readonly run: string,
    /** What it is called until it is known. */
    label?: string
  ) {
    super();
    const { api, live, trans } = _services;
    this._model = new RunModel(api, live, run);
    this.id = tabId(run);
    this.addClass('jp-AidpRun');
    this.node.tabIndex = -1;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Run'));
    this.title.icon = experimentsIcon;
    this.title.label = label ?? trans.__('Run');
    this.title.closable = true;
    this._model.changed.connect(() => this._name());
  }

  get runs(): readonly string[] {
    return [this.run];
  }

  override dispose(): void {
    this._clock.dispose();
    this._model.dispose();
    super.dispose();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._see(this.isVisible);
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._see(true);
  }

  protected override onBeforeHide(message: Message): void {
    super.onBeforeHide(message);
    this._see(false);
  }

  protected override onCloseRequest(message: Message): void {
    super.onCloseRequest(message);
    this.dispose();
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    if (!this.node.contains(document.activeElement)) {
      (
        this.node.querySelector<HTMLElement>('[role="tab"][tabindex="0"]') ??
        this.node
      ).focus();
    }
  }

  protected override render(): React.ReactElement {
    const value = {
      ...this._services,
      model: this._model,
      clock: this._clock,
      prefix: this.id
    };
    return (
      <RunProvider value={value}>
        <RunContent />
      </RunProvider>
    );
  }

  private _see(isVisible: boolean): void {
    this._model.isVisible = isVisible;
    this._clock.isRunning = isVisible;
  }

  private _name(): void {
    const { run } = this._model;
    if (run) {
      const name = visible(run.name) || run.id;
      const short =
        name.length > MOST_TITLE ? `${name.slice(0, MOST_TITLE)}…` : name;
      this.title.label = `${stateSign(stateOf(run))} ${short}`;
      this.title.caption = name;
      this.node.setAttribute(
        'aria-label',
        this._services.trans.__('Run %1', name)
      );
    }
  }

  private _clock = new Clock();
  private _model: RunModel;
}

/** Show a run in the main area, in the tab that it has already or in a new one; returns the tab. */
export function openRun(
  services: IExperimentServices,
  id: string,
  label?: string
): Widget {
  const { shell } = services.app;
  const known = [...shell.widgets('main')].find(
    widget => widget.id === tabId(id)
  );
  const tab = known ?? new RunTab(services, id, label);
  if (!known) {
    shell.add(tab, 'main', { type: 'Run' });
  }
  shell.activateById(tab.id);
  return tab;
}

function tabId(run: string): string {
  return `aidp-run-${run}`;
}
