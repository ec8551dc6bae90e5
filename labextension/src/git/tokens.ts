export const CommandIDs = {
  openPanel: 'aidp:open-ship-panel',
  openTab: 'aidp:open-ship-tab',
  ship: 'aidp:ship',
  import: 'aidp:import-repository',
  accounts: 'aidp:git-accounts',
  check: 'aidp:check-changes',
  suggest: 'aidp:suggest-commit-message',
  pull: 'aidp:pull',
  undo: 'aidp:undo-commit',
  branch: 'aidp:new-branch',
  abort: 'aidp:abort-merge',
  unlock: 'aidp:remove-git-lock',
  openGit: 'aidp:open-in-git',
  openForge: 'aidp:open-on-forge',
  refresh: 'aidp:refresh-repository'
} as const;
