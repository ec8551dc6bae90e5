import type { Action } from './wire';

/** The command of each action, in the order of the menu. */
export const ACTIONS: readonly (readonly [action: Action, command: string])[] =
  [
    ['explain', 'aidp:explain'],
    ['fix', 'aidp:fix'],
    ['edit', 'aidp:edit'],
    ['generate', 'aidp:generate'],
    ['tests', 'aidp:write-tests'],
    ['docs', 'aidp:document'],
    ['optimize', 'aidp:optimize'],
    ['review', 'aidp:review'],
    ['convert', 'aidp:convert'],
    ['summary', 'aidp:summarise-notebook']
  ];

export const CommandIDs = {
  menu: 'aidp:actions',
  /** Go to the proposal below the cell. */
  focus: 'aidp:focus-proposal'
} as const;
