/**
 * What is used of jupyterlab-git. It is an extension of its own, which may be absent: nothing of it is imported when
 * the page loads, only its token is, later, where it is there.
 */
declare module '@jupyterlab/git' {
  import type { Token } from '@lumino/coreutils';
  import type { ISignal } from '@lumino/signaling';

  export interface IGitExtension {
    /** Of the repository that its panel shows, below the server's root; null where it shows none. */
    pathRepository: string | null;
    /** Resolves when the last change of that has been looked into. */
    readonly ready: Promise<unknown>;
    readonly headChanged: ISignal<IGitExtension, void>;
    readonly statusChanged: ISignal<IGitExtension, unknown>;
    refresh(): Promise<void>;
    refreshStatus(): Promise<void>;
  }
  export const IGitExtension: Token<IGitExtension>;
}
