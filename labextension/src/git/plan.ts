import type { IRepositoryState } from './wire';
import { branchFor } from './wording';

/** What a press of the button would do. */
export interface IPlan {
  readonly branch: string | null;
  readonly commits: boolean;
  readonly pushes: boolean;
  readonly request: 'none' | 'new' | 'open';
  /** What is missing for it. */
  readonly missing:
    'changes' | 'message' | 'branch' | 'fixes' | 'operation' | null;
}

export interface IPlanQuestion {
  readonly state: IRepositoryState;
  /** Whether something is chosen to be committed. */
  readonly commits: boolean;
  readonly message: string;
  /** The user's name for a new branch; null where there is none. */
  readonly branch: string | null;
  /** Where a pull request would go; null while that is not known. */
  readonly base: string | null;
  readonly wantsRequest: boolean;
  /** Whether the branch has one. */
  readonly hasRequest: boolean;
  /** Whether the checks stand in the way. */
  readonly isHeld: boolean;
}

/** What a press of the button would do, and what is missing for it. */
export function planOf(question: IPlanQuestion): IPlan {
  const { commits, hasRequest, message, state, wantsRequest } = question;
  const { branch, head, upstream, ahead, remotes, operation } = state;
  const pushes = remotes.length > 0;
  const wants = wantsRequest && !hasRequest;
  const isNews = commits || (head !== null && (!upstream || ahead > 0));
  const isBase = branch !== null && isBaseBranch(branch, question.base);
  const isWork = isNews || (wants && branch !== null && !isBase);
  const needsBranch =
    isNews && pushes && (branch === null || (wants && isBase));
  const name = (question.branch ?? branchFor(message)).trim();
  const isOther = name !== '' && name !== branch;
  const isAsked = needsBranch || !!question.branch?.trim();
  const missing = (): IPlan['missing'] => {
    if (operation) {
      return 'operation';
    }
    if (!commits && !(pushes && isWork)) {
      return 'changes';
    }
    if (commits && !message.trim()) {
      return 'message';
    }
    if (needsBranch && !isOther) {
      return 'branch';
    }
    return question.isHeld ? 'fixes' : null;
  };
  return {
    branch: isAsked && isOther ? name : null,
    commits,
    pushes,
    request: hasRequest ? 'open' : wantsRequest ? 'new' : 'none',
    missing: missing()
  };
}

/** Whether work is not to be pushed to a branch directly: as the forge says, else as its name does. */
function isBaseBranch(branch: string, base: string | null): boolean {
  return base ? branch === base : branch === 'main' || branch === 'master';
}
