import type { ISessionContext } from '@jupyterlab/apputils';
import type { Kernel } from '@jupyterlab/services';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type * as Look from './look.py';
import type { IKernelSaid, IVariableSaid } from './wire';

/** What a model may be told of the kernel: nothing, names and types, or values as well. */
export type KernelContext = 'off' | 'schema' | 'values';

/** How long a kernel must be idle before it is asked: the next cell of a queue comes first. */
const QUIET_MS = 250;

/** What was seen of a kernel. */
interface IView {
  readonly kernel: string;
  readonly takenAt: string;
  readonly variables: readonly IVariableSaid[];
  readonly values: boolean;
}

/** A session that is watched. */
interface IWatched {
  view: IView | null;
  /** Something ran since the last look. */
  isStale: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** The look that is under way. */
  asking: Promise<void> | null;
  /** Whether the user sees the document. */
  readonly isInView: () => boolean;
}

/**
 * Asks idle Python kernels for their variables, if the user allows it: once after something ran, and when told to. A
 * kernel that is busy, starting or dead is never asked; what was seen last is told with its age.
 */
export class KernelLook {
  /** A kernel was asked, or what was known of it is void. */
  get changed(): ISignal<this, ISessionContext> {
    return this._changed;
  }

  get allowed(): KernelContext {
    return this._allowed;
  }
  set allowed(allowed: KernelContext) {
    this._allowed = allowed;
    for (const [session, watched] of this._sessions) {
      watched.view = null;
      watched.isStale = true;
      this._schedule(session, watched);
    }
  }

  /** Follow a document's session until it is disposed of. */
  watch(session: ISessionContext, isInView: () => boolean): void {
    if (this._sessions.has(session)) {
      return;
    }
    const watched: IWatched = {
      view: null,
      isStale: true,
      timer: undefined,
      asking: null,
      isInView
    };
    this._sessions.set(session, watched);
    // A silent execution, such as a look, tells of no input.
    session.iopubMessage.connect((_, { header }) => {
      if (header.msg_type === 'execute_input') {
        watched.isStale = true;
      }
    });
    session.statusChanged.connect((_, status) => {
      if (LOST.has(status)) {
        this._forget(session, watched);
      }
      this._schedule(session, watched);
    });
    session.kernelChanged.connect(() => {
      this._forget(session, watched);
      this._schedule(session, watched);
    });
    session.disposed.connect(() => {
      clearTimeout(watched.timer);
      this._sessions.delete(session);
    });
    this._schedule(session, watched);
  }

  /** A document came into view: what ran behind its tab is looked at now. */
  cameIntoView(session: ISessionContext): void {
    const watched = this._sessions.get(session);
    if (watched) {
      this._schedule(session, watched);
    }
  }

  /** What is known; null where the user does not allow it or nothing is known. */
  said(session: ISessionContext): IKernelSaid | null {
    const view = this._sessions.get(session)?.view;
    const kernel = session.session?.kernel;
    if (this._allowed === 'off' || !view || view.kernel !== kernel?.id) {
      return null;
    }
    const { status } = kernel;
    return {
      language: 'python',
      state: LOST.has(status) ? 'dead' : status === 'idle' ? 'idle' : 'busy',
      taken_at: view.takenAt,
      variables: view.variables,
      allows_values: view.values
    };
  }

  /** Look now, if that is allowed and the kernel is idle. Never rejects. */
  async look(session: ISessionContext): Promise<void> {
    const watched = this._sessions.get(session);
    if (!watched || this._allowed === 'off') {
      return;
    }
    clearTimeout(watched.timer);
    watched.asking ??= this._look(session, watched).finally(() => {
      watched.asking = null;
    });
    await watched.asking;
  }

  private async _look(
    session: ISessionContext,
    watched: IWatched
  ): Promise<void> {
    const kernel = session.session?.kernel;
    if (kernel?.status !== 'idle' || session.pendingInput) {
      return;
    }
    const values = this._allowed === 'values';
    let variables: readonly IVariableSaid[] | null;
    try {
      const [{ language_info }, look] = await Promise.all([
        kernel.info,
        // A page whose notebooks run nothing need not load it.
        import(/* webpackChunkName: 'on-demand-look' */ './look.py')
      ]);
      if (language_info.name !== 'python') {
        watched.isStale = false;
        return;
      }
      if (kernel.status !== 'idle') {
        return;
      }
      watched.isStale = false;
      variables = await ask(kernel, look, values);
    } catch {
      // The kernel ended or was replaced meanwhile: what it held is gone with it.
      return;
    }
    const isSame = session.session?.kernel?.id === kernel.id;
    if (variables && isSame && values === (this._allowed === 'values')) {
      const takenAt = new Date().toISOString();
      watched.view = { kernel: kernel.id, takenAt, variables, values };
      this._changed.emit(session);
    }
  }

  private _schedule(session: ISessionContext, watched: IWatched): void {
    clearTimeout(watched.timer);
    if (
      this._allowed !== 'off' &&
      watched.isStale &&
      watched.isInView() &&
      session.session?.kernel?.status === 'idle'
    ) {
      watched.timer = setTimeout(() => void this.look(session), QUIET_MS);
    }
  }

  private _forget(session: ISessionContext, watched: IWatched): void {
    watched.isStale = true;
    if (watched.view) {
      watched.view = null;
      this._changed.emit(session);
    }
  }

  private _allowed: KernelContext = 'off';
  private _changed = new Signal<this, ISessionContext>(this);
  private _sessions = new Map<ISessionContext, IWatched>();
}

/** A kernel in one of these states has lost its variables. */
const LOST: ReadonlySet<Kernel.Status> = new Set<Kernel.Status>([
  'dead',
  'terminating',
  'restarting',
  'autorestarting'
]);

/** One silent execution: no output, no history, no count, no input. Null where the kernel has no answer. */
async function ask(
  kernel: Kernel.IKernelConnection,
  { KEEP, lookExpression }: typeof Look,
  values: boolean
): Promise<readonly IVariableSaid[] | null> {
  const future = kernel.requestExecute({
    code: KEEP,
    silent: true,
    store_history: false,
    user_expressions: { aidp: lookExpression(values) },
    allow_stdin: false,
    stop_on_error: false
  });
  const { content } = await future.done;
  return content.status === 'ok'
    ? variablesIn(content.user_expressions['aidp'])
    : null;
}

/** What a kernel answered: Python's notation of a JSON text without control characters. */
export function variablesIn(answer: unknown): readonly IVariableSaid[] | null {
  const { status, data } = (answer ?? {}) as {
    status?: string;
    data?: Record<string, unknown>;
  };
  const text = data?.['text/plain'];
  if (status !== 'ok' || typeof text !== 'string') {
    return null;
  }
  try {
    const json = text.slice(1, -1).replace(/\\([\\'])/g, '$1');
    const { variables } = JSON.parse(json) as { variables: IVariableSaid[] };
    return variables;
  } catch {
    return null;
  }
}
