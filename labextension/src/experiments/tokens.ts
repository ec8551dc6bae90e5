/** Panels and what opens one; the others are in `DeskCommandIDs`. */
const PanelCommandIDs = {
  openPanel: 'aidp-experiments:open-panel',
  openTab: 'aidp-experiments:open-tab'
} as const;

/** What is done once the rest is loaded. */
export const DeskCommandIDs = {
  openMlflow: 'aidp-experiments:open-mlflow',
  newNotebook: 'aidp-experiments:new-notebook',
  refresh: 'aidp-experiments:refresh',
  start: 'aidp-experiments:start-tracking',
  newExperiment: 'aidp-experiments:new-experiment',
  renameExperiment: 'aidp-experiments:rename-experiment',
  deleteExperiment: 'aidp-experiments:delete-experiment',
  showDeleted: 'aidp-experiments:show-deleted-runs',
  openRun: 'aidp-experiments:open-run',
  compare: 'aidp-experiments:compare',
  jump: 'aidp-experiments:jump',
  hide: 'aidp-experiments:hide-runs',
  unhide: 'aidp-experiments:show-runs',
  deleteRuns: 'aidp-experiments:delete-runs',
  restoreRuns: 'aidp-experiments:restore-runs',
  copyId: 'aidp-experiments:copy-run-id',
  exportCsv: 'aidp-experiments:export-csv',
  showCell: 'aidp-experiments:show-runs-of-cell'
} as const;

export const CommandIDs = { ...PanelCommandIDs, ...DeskCommandIDs } as const;

/** What a command may be told. */
export interface IExperimentsArgs {
  /** Ids; those that are selected in the list where it is not given. */
  readonly runs?: readonly string[];
  /** Of a tab that was open before Lab was loaded again. */
  readonly id?: string;
  readonly label?: string;
  /** Of the cell, below the workspace. */
  readonly notebook?: string;
  readonly cell_id?: string;
  readonly experiment?: string;
  /** The folder of what is new, below the workspace. */
  readonly cwd?: string;
}

/** The same, as a command describes it. */
export const ARGUMENTS = {
  args: {
    type: 'object',
    properties: {
      runs: {
        type: 'array',
        items: { type: 'string' },
        description: 'Ids of runs; those selected in the list by default.'
      },
      notebook: { type: 'string', description: 'Below the workspace.' },
      cell_id: { type: 'string' },
      experiment: { type: 'string', description: 'An id.' },
      cwd: { type: 'string', description: 'A folder for what is new.' }
    }
  }
} as const;

/** How many runs can be compared at once. */
export const MOST_COMPARED = 50;
