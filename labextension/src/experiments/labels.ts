import type { TranslationBundle } from '@jupyterlab/translation';

import { DeskCommandIDs } from './tokens';

/** The commands that the rest does once it is loaded, with their names. */
export function labels(
  trans: TranslationBundle
): readonly (readonly [string, string])[] {
  return [
    [DeskCommandIDs.openMlflow, trans.__('Open MLflow')],
    [DeskCommandIDs.newNotebook, trans.__('Experiment Notebook')],
    [DeskCommandIDs.refresh, trans.__('Look at the Runs Again')],
    [DeskCommandIDs.start, trans.__('Start the Tracking Server')],
    [DeskCommandIDs.newExperiment, trans.__('New Experiment…')],
    [DeskCommandIDs.renameExperiment, trans.__('Rename the Experiment…')],
    [DeskCommandIDs.deleteExperiment, trans.__('Delete the Experiment…')],
    [DeskCommandIDs.showDeleted, trans.__('Show Deleted Runs, or the Others')],
    [DeskCommandIDs.openRun, trans.__('Open Run')],
    [DeskCommandIDs.compare, trans.__('Compare Runs')],
    [DeskCommandIDs.jump, trans.__('Jump to the Cell')],
    [DeskCommandIDs.hide, trans.__('Hide Runs')],
    [DeskCommandIDs.unhide, trans.__('Hide Runs No More')],
    [DeskCommandIDs.deleteRuns, trans.__('Delete Runs…')],
    [DeskCommandIDs.restoreRuns, trans.__('Restore Runs')],
    [DeskCommandIDs.copyId, trans.__('Copy Run ID')],
    [DeskCommandIDs.exportCsv, trans.__('Export as CSV')],
    [DeskCommandIDs.showCell, trans.__('Show the Runs of a Cell')]
  ];
}
