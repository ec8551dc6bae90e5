import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';
import type * as React from 'react';

import { askName, confirm } from '../git/questions';
import { asAidpError } from '../shared/request';
import type { IDesk } from './desk';
import { jumpToCell } from './jump';
import type { KeptTabs } from './keptTabs';
import type { RunsView } from './list/view';
import type { ExperimentsModel } from './model';
import { focusFirst } from './panel/content';
import type { Panels } from './panels';
import { RunActions } from './runs';
import type { IExperimentServices } from './run/services';
import type { IExperimentsArgs } from './tokens';
import { CommandIDs, MOST_COMPARED } from './tokens';
import type { IRow } from './wire';
import { visible } from './wording';

/** More tabs at once help nobody. */
const MOST_TABS = 5;

export interface IDeskOptions {
  readonly app: JupyterFrontEnd;
  readonly keptTabs: KeptTabs;
  readonly model: ExperimentsModel;
  readonly panels: Panels;
  readonly services: IExperimentServices;
  readonly trans: TranslationBundle;
}

/** What the commands do, once the first of them is given. */
export class Desk implements IDesk {
  constructor(private _options: IDeskOptions) {
    const { model, trans } = _options;
    this.model = model;
    this._actions = new RunActions(model, trans);
  }

  readonly model: ExperimentsModel;

  content(panel: Widget, place: 'side' | 'tab'): React.FC {
    return this._options.panels.content(panel, place);
  }

  see(panel: Widget, isSeen: boolean): void {
    this._options.panels.see(panel, isSeen);
  }

  leave(panel: Widget): void {
    this._options.panels.leave(panel);
  }

  focus(panel: HTMLElement): void {
    focusFirst(panel);
  }

  async run(command: string, args: IExperimentsArgs): Promise<void> {
    try {
      await this._do(command, args);
    } catch (error) {
      const { message, nextStep } = asAidpError(error);
      Notification.error([message, nextStep].filter(Boolean).join(' '));
    }
  }

  can(command: string): boolean {
    const { model } = this._options;
    const { _view: view } = this;
    const chosen = view?.selection.chosen ?? [];
    const size = chosen.length;
    const isDeleted = view?.stage === 'deleted';
    const experiment = view?.experiment ?? null;
    switch (command) {
      case CommandIDs.start:
        return !model.isStarting && model.tracking?.state !== 'ready';
      case CommandIDs.renameExperiment:
      case CommandIDs.deleteExperiment:
        return !!experiment?.can.manage && experiment.id !== '0';
      case CommandIDs.showDeleted:
      case CommandIDs.exportCsv:
        return experiment !== null;
      case CommandIDs.openRun:
        return size > 0;
      case CommandIDs.copyId:
        return size === 1;
      case CommandIDs.compare:
        return size >= 2 && size <= MOST_COMPARED;
      case CommandIDs.jump:
        return size === 1 && !!chosen[0]?.cell?.cell_id;
      case CommandIDs.hide:
        return size > 0 && !isDeleted;
      case CommandIDs.unhide:
        return chosen.some(({ id }) => view?.hidden.includes(id));
      case CommandIDs.deleteRuns:
        return size > 0 && !isDeleted && !!experiment?.can.write;
      case CommandIDs.restoreRuns:
        return size > 0 && isDeleted && !!experiment?.can.write;
    }
    return true;
  }

  private get _view(): RunsView | null {
    return this._options.panels.view;
  }

  private async _do(command: string, args: IExperimentsArgs): Promise<void> {
    const { model } = this._options;
    const { _view: view } = this;
    const given = args.runs ?? view?.selection.chosen.map(({ id }) => id) ?? [];
    switch (command) {
      case CommandIDs.openMlflow:
        return this._openMlflow(args);
      case CommandIDs.newNotebook:
        return this._newNotebook(args.cwd ?? '');
      case CommandIDs.refresh:
        return (view ?? model.list) === view
          ? view?.refresh()
          : model.list.load();
      case CommandIDs.start:
        return model.start();
      case CommandIDs.newExperiment:
        return this._newExperiment();
      case CommandIDs.renameExperiment:
        return this._rename();
      case CommandIDs.deleteExperiment:
        return this._removeExperiment();
      case CommandIDs.showDeleted:
        return view?.setStage(view.stage === 'deleted' ? 'active' : 'deleted');
      case CommandIDs.openRun:
        return this._open(given, args.label);
      case CommandIDs.compare:
        return this._compare(given, args);
      case CommandIDs.jump:
        return this._jump(given, args);
      case CommandIDs.hide:
        return view ? this._actions.hide(view, true) : undefined;
      case CommandIDs.unhide:
        return view ? this._actions.hide(view, false) : undefined;
      case CommandIDs.deleteRuns:
        return this._remove(given);
      case CommandIDs.restoreRuns:
        return this._actions.restore(view, given);
      case CommandIDs.copyId:
        return navigator.clipboard.writeText(given.join('\n'));
      case CommandIDs.exportCsv:
        return this._export();
      case CommandIDs.showCell:
        return this._showCell(args);
    }
  }

  private async _openMlflow(args: IExperimentsArgs): Promise<void> {
    const { openMlflow } = await import(
      /* webpackChunkName: 'on-demand-experiments-mlflow' */ './mlflow'
    );
    const { experiment, runs } = args;
    const place = { experiment, run: runs?.[0] };
    const { app, keptTabs, model, trans } = this._options;
    const beginning = { experiment: this._view?.experiment?.id };
    const keep = (tab: Widget) => keptTabs.add(CommandIDs.openMlflow, tab);
    await openMlflow(
      { shell: app.shell, keep, model, trans },
      place,
      beginning
    );
  }

  private async _newNotebook(folder: string): Promise<void> {
    const { documents } = this._options.services;
    if (documents) {
      const { newExperimentNotebook } = await import(
        /* webpackChunkName: 'on-demand-experiments-example' */ './example'
      );
      await newExperimentNotebook(documents, folder);
    }
  }

  private async _newExperiment(): Promise<void> {
    const { model, trans } = this._options;
    const name = await askName(
      trans.__('New experiment'),
      trans.__('Create'),
      '',
      trans
    );
    if (name) {
      const made = await model.create(name);
      this._view?.choose(made.id);
    }
  }

  private async _rename(): Promise<void> {
    const { model, trans } = this._options;
    const experiment = this._view?.experiment;
    if (!experiment) {
      return;
    }
    const name = await askName(
      trans.__('Rename %1', visible(experiment.name).slice(0, 80)),
      trans.__('Rename'),
      experiment.name,
      trans
    );
    if (name && name !== experiment.name) {
      await model.rename(experiment.id, name);
    }
  }

  private async _removeExperiment(): Promise<void> {
    const { model, trans } = this._options;
    const experiment = this._view?.experiment;
    if (!experiment) {
      return;
    }
    const { id, name, runs } = experiment;
    const isSure = await confirm(
      trans.__('Delete %1?', visible(name).slice(0, 80)),
      trans._n(
        'The experiment and its %1 run are not shown any more. It can be restored from the list of experiments.',
        'The experiment and its %1 runs are not shown any more. It can be restored from the list of experiments.',
        runs
      ),
      trans.__('Delete'),
      trans
    );
    if (isSure) {
      await model.remove(id);
      const { latest } = model;
      if (latest) {
        this._view?.choose(latest.id);
      }
      Notification.info(trans.__('%1 was deleted.', visible(name)), {
        autoClose: 10_000,
        actions: [
          { label: trans.__('Undo'), callback: () => void model.restore(id) }
        ]
      });
    }
  }

  private async _open(runs: readonly string[], label?: string): Promise<void> {
    const { openRun } = await import(
      /* webpackChunkName: 'on-demand-experiments-run' */ './run/open'
    );
    for (const run of runs.slice(0, MOST_TABS)) {
      const tab = openRun(this._options.services, run, label);
      this._options.keptTabs.add(CommandIDs.openRun, tab);
    }
    if (runs.length > MOST_TABS) {
      Notification.info(
        this._options.trans.__(
          'The first %1 runs were opened. Compare shows more of them at once.',
          MOST_TABS
        ),
        { autoClose: 5_000 }
      );
    }
  }

  private async _compare(
    runs: readonly string[],
    { id }: IExperimentsArgs
  ): Promise<void> {
    const { openCompare } = await import(
      /* webpackChunkName: 'on-demand-experiments-compare' */ './compare/open'
    );
    const { keptTabs, services } = this._options;
    const tab = openCompare(services, runs.slice(0, MOST_COMPARED), id);
    keptTabs.add(CommandIDs.compare, tab);
  }

  private async _jump(
    [run]: readonly string[],
    { notebook, cell_id }: IExperimentsArgs
  ): Promise<void> {
    const { model, services, trans } = this._options;
    const { documents } = services;
    if (!documents) {
      return;
    }
    const jumper = { api: model.api, documents, trans };
    if (notebook) {
      await jumpToCell(jumper, {
        notebook,
        cell_id: cell_id ?? null,
        run: run ?? null
      });
      return;
    }
    const cell = run ? (await this._row(run)).cell : null;
    if (cell) {
      const { cell_id: id } = cell;
      await jumpToCell(jumper, {
        notebook: cell.notebook,
        cell_id: id,
        run: run!
      });
    } else {
      Notification.info(
        trans.__('This run was not made by a cell of a notebook here.'),
        { autoClose: 5_000 }
      );
    }
  }

  /** What is known of a run, from a list or else from the server. */
  private async _row(run: string): Promise<Pick<IRow, 'cell' | 'name'>> {
    const known = this._view?.window.known.find(({ id }) => id === run);
    return known ?? (await this._options.model.api.run(run));
  }

  private async _remove(runs: readonly string[]): Promise<void> {
    if (runs.length > 0) {
      const [only] = runs;
      const name = runs.length === 1 ? (await this._row(only!)).name : null;
      await this._actions.remove(this._view, runs, name);
    }
  }

  /** Have the browser save what the list shows, or what is selected of it. */
  private _export(): void {
    const { _view: view } = this;
    if (!view?.experiment) {
      return;
    }
    const { question, selection } = view;
    const link = document.createElement('a');
    link.href = this._options.model.api.csvUrl({
      experiments: question.experiments,
      filter: question.filter,
      order_by: question.order_by,
      view: question.view,
      columns: question.columns,
      runs: selection.ids
    });
    link.download = '';
    link.click();
  }

  private async _showCell(args: IExperimentsArgs): Promise<void> {
    const { app, model } = this._options;
    const { notebook, cell_id, experiment } = args;
    await app.commands.execute(CommandIDs.openPanel);
    if (!model.list.value) {
      await model.list.load();
    }
    const { _view: view } = this;
    if (view && notebook && cell_id && experiment) {
      view.showCell(experiment, { notebook, cell_id });
    }
  }

  private _actions: RunActions;
}
