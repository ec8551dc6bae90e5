import type { Action } from './wire';

/** What is offered: the actions, one of them twice, as `module` writes what it converts into a file of its own. */
export type Offer = Action | 'module';

/** What the server is asked for. */
export function actionOf(offer: Offer): Action {
  return offer === 'module' ? 'convert' : offer;
}

/** The command of each, in the order of the menu. */
export const ACTIONS: readonly (readonly [offer: Offer, command: string])[] = [
  ['explain', 'aidp:explain'],
  ['fix', 'aidp:fix'],
  ['edit', 'aidp:edit'],
  ['generate', 'aidp:generate'],
  ['tests', 'aidp:write-tests'],
  ['docs', 'aidp:document'],
  ['optimize', 'aidp:optimize'],
  ['review', 'aidp:review'],
  ['convert', 'aidp:convert'],
  ['module', 'aidp:convert-to-module'],
  ['summary', 'aidp:summarise-notebook']
];

export const CommandIDs = {
  menu: 'aidp:actions',
  /** Go to the proposal below the cell. */
  focus: 'aidp:focus-proposal'
} as const;
