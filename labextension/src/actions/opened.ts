/** What an action needs once it has begun. Loaded with the first one. */
import type { Feedback } from '../ai/feedback';
import type { IAiModel } from '../ai/tokens';
import type { ActionsApi } from './api';
import type { IFiles } from './draft';
import { ActionFrame } from './frame';
import { loadMerge } from './merge';
import type { ISessionOptions } from './session';
import { ActionSession } from './session';
import { actionOf } from './tokens';
import type { IViewServices } from './view';
import { TASKS } from './wire';

export interface IOpenServices {
  readonly api: ActionsApi;
  readonly model: IAiModel;
  readonly feedback: Feedback;
  readonly files: IFiles;
  readonly view: IViewServices;
  readonly privacy: ISessionOptions['privacy'];
}

/** Begin an action, and return what shows it. */
export function open(
  { api, feedback, files, model, privacy, view }: IOpenServices,
  asked: Pick<
    ISessionOptions,
    'action' | 'site' | 'cell' | 'instruction' | 'question'
  >
): ActionFrame {
  const { action, site, cell } = asked;
  const session = new ActionSession({
    ...asked,
    api,
    model,
    files,
    privacy,
    loadDiffer: async () => (await loadMerge()).differ,
    report: (route, outcome) =>
      feedback.add(route, TASKS[actionOf(action)], outcome),
    trans: view.trans
  });
  const frame = new ActionFrame(session, view);
  session.finished.connect(() => {
    const isHere = frame.node.contains(document.activeElement);
    frame.dispose();
    if (isHere || document.activeElement === document.body) {
      site.focus(cell);
    }
  });
  return frame;
}
