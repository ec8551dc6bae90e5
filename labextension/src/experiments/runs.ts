import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { confirm } from '../git/questions';
import type { RunsView } from './list/view';
import type { ExperimentsModel } from './model';
import { MOST_HIDDEN } from './model';
import type { IDone } from './wire';
import { visible } from './wording';

/** How many runs go in one question. */
const AT_ONCE = 500;

/** What is done to several runs, each time with the way back. */
export class RunActions {
  constructor(
    private _model: ExperimentsModel,
    private _trans: TranslationBundle
  ) {}

  /** Delete runs, once that is confirmed. */
  async remove(
    view: RunsView | null,
    runs: readonly string[],
    name: string | null
  ): Promise<void> {
    const { _trans: trans } = this;
    const title =
      runs.length === 1 && name
        ? trans.__('Delete %1?', visible(name).slice(0, 80))
        : trans._n('Delete %1 run?', 'Delete %1 runs?', runs.length);
    const body = trans.__(
      'It can be restored from the deleted runs of its experiment; its files stay until MLflow’s own clean-up.'
    );
    if (!(await confirm(title, body, trans.__('Delete'), trans))) {
      return;
    }
    const { done } = await this._each(runs, 'delete');
    view?.selection.remove(done);
    if (done.length > 0) {
      Notification.info(
        trans._n('%1 run was deleted.', '%1 runs were deleted.', done.length),
        {
          autoClose: 10_000,
          actions: [
            {
              label: trans.__('Undo'),
              callback: () => void this.restore(view, done)
            }
          ]
        }
      );
    }
  }

  async restore(view: RunsView | null, runs: readonly string[]): Promise<void> {
    const { done } = await this._each(runs, 'undelete');
    view?.selection.remove(done);
    if (done.length > 0) {
      Notification.success(
        this._trans._n(
          '%1 run was restored.',
          '%1 runs were restored.',
          done.length
        ),
        { autoClose: 4_000 }
      );
    }
  }

  /** Hide the runs that are selected in a list, or show them again. */
  hide(view: RunsView, isHidden: boolean): void {
    const { experiment } = view;
    const runs = view.selection.chosen.map(({ id }) => id);
    if (!experiment || runs.length === 0) {
      return;
    }
    const over = this._model.hide(experiment.id, runs, isHidden);
    if (over > 0) {
      Notification.warning(
        this._trans.__(
          '%1 runs of an experiment can be hidden: the first ones are. A filter can leave out more.',
          MOST_HIDDEN
        ),
        { autoClose: 8_000 }
      );
    }
  }

  private async _each(
    runs: readonly string[],
    verb: 'delete' | 'undelete'
  ): Promise<IDone> {
    const { api } = this._model;
    const done: string[] = [];
    const failed: IDone['failed'][number][] = [];
    try {
      for (let at = 0; at < runs.length; at += AT_ONCE) {
        const some = runs.slice(at, at + AT_ONCE);
        const said = await (verb === 'delete'
          ? api.deleteRuns(some)
          : api.undeleteRuns(some));
        done.push(...said.done);
        failed.push(...said.failed);
      }
    } finally {
      this._model.tellActed();
    }
    const [first] = failed;
    if (first) {
      Notification.error(
        this._trans._n(
          'It could not be done to %1 run: %2',
          'It could not be done to %1 runs: %2',
          failed.length,
          first.message
        )
      );
    }
    return { done, failed };
  }
}
