import type { ILayoutRestorer } from '@jupyterlab/application';
import { WidgetTracker } from '@jupyterlab/apputils';
import type { ISignal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import { CommandIDs } from './tokens';

/** A tab that is about runs. */
interface IAboutRuns extends Widget {
  readonly runs?: readonly string[];
  /** It is about others now. */
  readonly changed?: ISignal<unknown, void>;
}

const OPENERS = [
  CommandIDs.openTab,
  CommandIDs.openRun,
  CommandIDs.compare,
  CommandIDs.openMlflow
];

/** The tabs in the main area, which come back where they were when Lab is loaded again. */
export class KeptTabs {
  constructor(restorer: ILayoutRestorer | null) {
    for (const command of OPENERS) {
      const namespace = command.replace(':', '-');
      const tracker = new WidgetTracker<IAboutRuns>({ namespace });
      this._trackers.set(command, tracker);
      void restorer?.restore(tracker, {
        command,
        // The label, since a tab that is not seen asks for nothing.
        args: ({ id, runs, title: { label } }) =>
          runs ? { runs: [...runs], id, label } : {},
        name: ({ id }) => id
      });
    }
  }

  /** Keep a tab that this command has opened, and what it is about, for as long as it is open. */
  add(command: string, tab: IAboutRuns): void {
    const tracker = this._trackers.get(command);
    if (tracker && !tracker.has(tab)) {
      void tracker.add(tab);
      const save = () => void tracker.save(tab);
      tab.title.changed.connect(save);
      tab.changed?.connect(save);
    }
  }

  private _trackers = new Map<string, WidgetTracker<IAboutRuns>>();
}
