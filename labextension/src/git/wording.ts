import type { TranslationBundle } from '@jupyterlab/translation';

import type { Format } from '../shared/format';
import type {
  CheckName,
  ChangeKind,
  IChange,
  IFinding,
  IRepositoryState,
  IShipJob,
  JobState,
  Operation,
  StepName,
  StepState
} from './wire';

/** From how many bytes on a file is marked as large; the checks have a limit of their own. */
export const LARGE_BYTES = 5_000_000;
/** How much of a path's end stays when it is too long. */
const TAIL = 24;

/** What became of a file, in a letter as Git has it. */
export function changeLetter(kind: ChangeKind): string {
  switch (kind) {
    case 'added':
      return 'A';
    case 'modified':
      return 'M';
    case 'deleted':
      return 'D';
    case 'renamed':
      return 'R';
    case 'copied':
      return 'C';
    case 'type':
      return 'T';
    case 'untracked':
      return 'U';
    case 'conflict':
      return '!';
  }
}

/** The same in a word or two. */
export function changeName(kind: ChangeKind, trans: TranslationBundle): string {
  switch (kind) {
    case 'added':
      return trans.__('new');
    case 'modified':
      return trans.__('changed');
    case 'deleted':
      return trans.__('deleted');
    case 'renamed':
      return trans.__('renamed');
    case 'copied':
      return trans.__('copied');
    case 'type':
      return trans.__('another type');
    case 'untracked':
      return trans.__('new, not tracked');
    case 'conflict':
      return trans.__('in conflict');
  }
}

/** How much a change is: "3 cells · outputs 4.2 MB", "+18 −4", "214 MB". */
export function changeSize(
  change: IChange,
  format: Format,
  trans: TranslationBundle
): string {
  const { summary, added, removed, size, submodule } = change;
  if (submodule) {
    return trans.__('submodule');
  }
  if (summary) {
    return summary;
  }
  if (added !== null || removed !== null) {
    return [
      added ? `+${format.integer(added)}` : '',
      removed ? `−${format.integer(removed)}` : ''
    ]
      .filter(Boolean)
      .join(' ');
  }
  return size === null ? '' : format.bytes(size);
}

export function isLarge({ size }: IChange): boolean {
  return size !== null && size >= LARGE_BYTES;
}

/** All there is to say of a change, for a tooltip and for who cannot see it. */
export function changeTitle(
  change: IChange,
  format: Format,
  trans: TranslationBundle
): string {
  const { path, old_path, kind, staged, size } = change;
  return [
    visible(path),
    old_path ? trans.__('before: %1', visible(old_path)) : '',
    [changeName(kind, trans), changeSize(change, format, trans)]
      .filter(Boolean)
      .join(' · '),
    staged === 'partly' ? trans.__('a part of it is chosen') : '',
    size !== null && isLarge(change)
      ? trans.__('large: %1', format.bytes(size))
      : ''
  ]
    .filter(Boolean)
    .join('\n');
}

/** A name as one line: what would break it or hide in it is shown by a sign. */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, sign =>
    sign === '\n' ? '␤' : sign === '\t' ? '␉' : sign === '\r' ? '␍' : '�'
  );
}

/** A path in two parts: the first gives way where there is little room, the second stays. */
export function halves(path: string): readonly [string, string] {
  const shown = visible(path);
  // That of a folder ends with a slash.
  const name = shown.lastIndexOf('/', shown.length - 2) + 1;
  if (shown.length - name <= TAIL) {
    return [shown.slice(0, name), shown.slice(name)];
  }
  const letters = [...shown];
  const at = letters.length - Math.floor(TAIL * 0.6);
  return [letters.slice(0, at).join(''), letters.slice(at).join('')];
}

export function checkName(name: CheckName, trans: TranslationBundle): string {
  switch (name) {
    case 'conflicts':
      return trans.__('conflicts');
    case 'notebooks':
      return trans.__('notebooks');
    case 'secrets':
      return trans.__('secrets');
    case 'personal':
      return trans.__('personal data');
    case 'outputs':
      return trans.__('outputs');
    case 'large':
      return trans.__('large files');
    case 'paths':
      return trans.__('paths');
    case 'hooks':
      return trans.__('hooks');
  }
}

/** Where a finding is: "analysis.ipynb, cell 5", "prep.py, line 12". */
export function place(finding: IFinding, trans: TranslationBundle): string {
  const { path, cell, line } = finding;
  const name = visible(path);
  if (cell !== null) {
    return trans.__('%1, cell %2', name, cell);
  }
  return line === null ? name : trans.__('%1, line %2', name, line);
}

export function severityName(
  severity: IFinding['severity'],
  trans: TranslationBundle
): string {
  switch (severity) {
    case 'block':
      return trans.__('to fix');
    case 'warn':
      return trans.__('to look at');
    case 'note':
      return trans.__('to know');
  }
}

export function stepName(name: StepName, trans: TranslationBundle): string {
  switch (name) {
    case 'preflight':
      return trans.__('Check');
    case 'commit':
      return trans.__('Commit');
    case 'fetch':
      return trans.__('Fetch');
    case 'integrate':
      return trans.__('Take in');
    case 'push':
      return trans.__('Push');
    case 'pull-request':
      return trans.__('Pull request');
    case 'checks':
      return trans.__('Checks');
  }
}

export function stepState(state: StepState, trans: TranslationBundle): string {
  switch (state) {
    case 'waiting':
      return trans.__('waiting');
    case 'running':
      return trans.__('under way');
    case 'done':
      return trans.__('done');
    case 'failed':
      return trans.__('failed');
    case 'skipped':
      return trans.__('not needed');
  }
}

export function stepSign(state: StepState): string {
  switch (state) {
    case 'waiting':
      return '○';
    case 'running':
      return '◐';
    case 'done':
      return '✔';
    case 'failed':
      return '✖';
    case 'skipped':
      return '–';
  }
}

export function jobState(state: JobState, trans: TranslationBundle): string {
  switch (state) {
    case 'running':
      return trans.__('Shipping');
    case 'failed':
      return trans.__('Stopped: a step failed');
    case 'done':
      return trans.__('Shipped');
    case 'cancelled':
      return trans.__('Cancelled');
    case 'interrupted':
      return trans.__('Interrupted: it can go on from here');
  }
}

/** How a job is doing, in one sentence: said when it changes. */
export function announcement(job: IShipJob, trans: TranslationBundle): string {
  const step =
    job.steps.find(({ state }) => state === 'failed') ??
    job.steps.find(({ state }) => state === 'running');
  return step && job.state !== 'done'
    ? trans.__(
        '%1: %2',
        stepName(step.name, trans),
        step.error?.message ?? stepState(step.state, trans)
      )
    : jobState(job.state, trans);
}

/** The steps that a press of the button will take, as on the button. */
export function plan(
  steps: {
    readonly branch: boolean;
    readonly commit: boolean;
    readonly push: boolean;
    readonly request: 'none' | 'new' | 'open';
  },
  trans: TranslationBundle
): string {
  return [
    steps.branch && trans.__('new branch'),
    steps.commit && trans.__('commit'),
    steps.push && trans.__('push'),
    steps.request === 'new' && trans.__('pull request')
  ]
    .filter(Boolean)
    .join(' → ');
}

export function operationName(
  operation: Operation,
  trans: TranslationBundle
): string {
  switch (operation) {
    case 'merge':
      return trans.__('A merge is under way.');
    case 'rebase':
      return trans.__('A rebase is under way.');
    case 'cherry-pick':
      return trans.__('A cherry-pick is under way.');
    case 'revert':
      return trans.__('A revert is under way.');
    case 'bisect':
      return trans.__('A bisection is under way.');
  }
}

/** How the branch stands to its remote one, for a tooltip. */
export function aheadBehind(
  { upstream, ahead, behind, remotes }: IRepositoryState,
  trans: TranslationBundle
): string {
  if (!upstream) {
    return remotes.length > 0
      ? trans.__('This branch is not on a remote yet.')
      : trans.__('This repository has no remote.');
  }
  return [
    trans.__('Against %1:', upstream),
    trans._n('%1 commit to push', '%1 commits to push', ahead),
    trans._n('%1 commit to pull', '%1 commits to pull', behind)
  ].join('\n');
}

/** A name for a branch of what a message says: `feat/impute-age-by-title`. */
export function branchFor(message: string): string {
  const subject = message.trim().split('\n')[0] ?? '';
  const [, type = '', rest = ''] =
    /^(?:(\w+)(?:\([^)]*\))?!?:\s*)?(.*)$/.exec(subject) ?? [];
  const slug = rest
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .slice(0, 48)
    .replace(/^-+|-+$/g, '');
  return slug ? (type ? `${type.toLowerCase()}/${slug}` : slug) : '';
}

/** A text whose first line is a title. */
export function titleAndBody(text: string): {
  readonly title: string;
  readonly body: string;
} {
  const [first = '', ...rest] = text.trimStart().split('\n');
  return {
    title: first
      .replace(/^#+\s*/, '')
      .replace(/^title:\s*/i, '')
      .trim(),
    body: rest.join('\n').trim()
  };
}

/** What one would call a folder: its last part. */
export function folderName(path: string, trans: TranslationBundle): string {
  return visible(path.split('/').pop() ?? '') || trans.__('the workspace');
}

/** An address in the browser of a repository on its forge; null where it is on none. */
export function forgeAddress({ remotes }: IRepositoryState): string | null {
  const remote = remotes.find(({ host, full_name }) => host && full_name);
  return remote ? `https://${remote.host}/${remote.full_name}` : null;
}
