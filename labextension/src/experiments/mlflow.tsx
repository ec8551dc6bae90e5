import type { JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  IFrame,
  ReactWidget,
  Toolbar,
  ToolbarButton,
  launchIcon,
  refreshIcon
} from '@jupyterlab/ui-components';
import { PanelLayout, Widget } from '@lumino/widgets';
import * as React from 'react';

import { useSignals } from '../shared/hooks';
import type { PanelState } from '../shared/panel';
import { Panel } from '../shared/panel';
import { experimentsIcon } from './icon';
import type { ExperimentsModel } from './model';

const ID = 'aidp-mlflow';

/** Where in MLflow's own pages. */
export interface IMlflowPlace {
  readonly experiment?: string;
  readonly run?: string;
}

/** MLflow's own pages in a tab. */
export type MlflowTab = MainAreaWidget<MlflowPages>;

/** The frame with them, and before that how the tracking server starts. */
export class MlflowPages extends Widget {
  constructor(
    private _model: ExperimentsModel,
    trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-AidpExp-mlflow');
    const layout = (this.layout = new PanelLayout());
    this._frame = new IFrame({
      // They are scripts of this server's own, which ask it as you: the frame keeps them from the rest of the page only.
      sandbox: [
        'allow-scripts',
        'allow-same-origin',
        'allow-forms',
        'allow-downloads',
        'allow-modals',
        'allow-popups'
      ],
      referrerPolicy: 'same-origin'
    });
    this._frame.node
      .querySelector('iframe')
      ?.setAttribute('title', trans.__('MLflow'));
    const retry = () => void this.open(this._place);
    layout.addWidget(
      ReactWidget.create(<Waiting model={_model} trans={trans} retry={retry} />)
    );
    layout.addWidget(this._frame);
    this._frame.hide();
  }

  get address(): string {
    const { experiment, run } = this._place;
    const at = experiment
      ? `#/experiments/${experiment}/runs${run ? `/${run}` : ''}`
      : '';
    return this._model.api.mlflowUrl + at;
  }

  /** Show a place, once the tracking server runs. */
  async open(place: IMlflowPlace): Promise<void> {
    this._place = place;
    this._show(false);
    await this._model.start();
    if (!this.isDisposed && !this._model.startError) {
      this._frame.url = this.address;
      this._show(true);
    }
  }

  /** Load the page that is shown anew. */
  reload(): void {
    const { contentWindow } = this._frame.node.querySelector('iframe')!;
    if (this._frame.isVisible) {
      contentWindow?.location.reload();
    } else {
      void this.open(this._place);
    }
  }

  private _show(isThere: boolean): void {
    const [waiting] = (this.layout as PanelLayout).widgets;
    waiting?.setHidden(isThere);
    this._frame.setHidden(!isThere);
  }

  private _frame: IFrame;
  private _place: IMlflowPlace = {};
}

function Waiting(props: {
  readonly model: ExperimentsModel;
  readonly trans: TranslationBundle;
  readonly retry: () => void;
}): React.ReactElement {
  const { model, trans, retry } = props;
  useSignals(model.changed);
  const { startError: error, tracking } = model;
  const state: PanelState = error
    ? { kind: 'error', error, retry }
    : { kind: 'full' };
  return (
    <Panel state={state} trans={trans}>
      <p className="jp-AidpExp-tracking" role="status">
        <span className="jp-AidpExp-spinner" aria-hidden />
        {tracking?.progress ||
          trans.__(
            'The tracking server is starting. The first time takes a while.'
          )}
      </p>
    </Panel>
  );
}

export interface IMlflowOptions {
  readonly shell: JupyterFrontEnd.IShell;
  readonly model: ExperimentsModel;
  readonly trans: TranslationBundle;
  /** Is told of a new tab. */
  keep(tab: Widget): void;
}

/** Show MLflow's pages, in the tab that they have already or in a new one. */
export async function openMlflow(
  { shell, model, trans, keep }: IMlflowOptions,
  place: IMlflowPlace,
  /** Where a new tab begins, unless it is said where. */
  beginning: IMlflowPlace
): Promise<void> {
  const known = [...shell.widgets('main')].find(({ id }) => id === ID);
  const tab = (known as MlflowTab | undefined) ?? create(model, trans);
  if (!known) {
    shell.add(tab, 'main', { type: 'MLflow' });
    keep(tab);
  }
  shell.activateById(ID);
  if (!known || place.experiment) {
    await tab.content.open(place.experiment ? place : beginning);
  }
}

function create(model: ExperimentsModel, trans: TranslationBundle): MlflowTab {
  const content = new MlflowPages(model, trans);
  const tab = new MainAreaWidget({ content, toolbar: new Toolbar() });
  tab.id = ID;
  tab.title.label = trans.__('MLflow');
  tab.title.icon = experimentsIcon;
  tab.title.closable = true;
  tab.toolbar.addItem(
    'reload',
    new ToolbarButton({
      icon: refreshIcon,
      tooltip: trans.__('Load this page again'),
      onClick: () => content.reload()
    })
  );
  tab.toolbar.addItem('spacer', Toolbar.createSpacerItem());
  tab.toolbar.addItem(
    'outside',
    new ToolbarButton({
      icon: launchIcon,
      label: trans.__('Open outside Lab'),
      tooltip: trans.__('Open MLflow in a browser tab of its own'),
      onClick: () => {
        window.open(content.address, '_blank', 'noopener');
      }
    })
  );
  return tab;
}
