import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { ActionSession } from './session';
import { shield } from './shield';
import type { IViewServices } from './view';
import { ActionView } from './view';

/** What is asked about a text, the answer, and the change that it proposes: below the text, never in it. */
export class ActionFrame extends ReactWidget {
  constructor(
    readonly session: ActionSession,
    private _services: IViewServices
  ) {
    super();
    this.addClass('jp-AidpAction');
    session.changed.connect(() => this.update());
    this.node.addEventListener('keydown', event => {
      if (!event.isComposing && !event.defaultPrevented && this._takes(event)) {
        event.preventDefault();
        event.stopPropagation();
      }
    });
    shield(this.node);
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.session.dispose();
      super.dispose();
    }
  }

  /** Go to what is to be done next. */
  enter(): void {
    const { node } = this;
    const first = node.querySelector<HTMLElement>('[data-first]');
    (first ?? node.querySelector<HTMLElement>('section'))?.focus();
  }

  protected override render(): React.ReactElement {
    const { session, _services: services, _isNew: isNew } = this;
    // Drawn again when its cell comes back into view, it claims nothing.
    this._isNew = false;
    return <ActionView session={session} services={services} isNew={isNew} />;
  }

  /** Do what a key is for; returns whether it is for anything. */
  private _takes(event: KeyboardEvent): boolean {
    const { session } = this;
    const { key, altKey, ctrlKey, metaKey, shiftKey } = event;
    if (ctrlKey || metaKey) {
      return false;
    }
    if (key === 'Escape' && !altKey && !shiftKey) {
      this._escape();
      return true;
    }
    if (session.phase !== 'reviewing') {
      return false;
    }
    if (altKey && (key === 'ArrowUp' || key === 'ArrowDown')) {
      session.move(key === 'ArrowUp' ? -1 : 1);
      return true;
    }
    if (key !== 'Enter') {
      return false;
    }
    if (shiftKey) {
      void session.decide('accepted', 'rest', session.options.site.canRun);
      return true;
    }
    const { target } = event;
    // Enter on a button presses it.
    const isOurs = !(target as Element).closest('button, summary, a');
    if (isOurs) {
      void session.decide('accepted', altKey ? 'rest' : 'place');
    }
    return isOurs;
  }

  /** Stop what is under way, say no, or go. */
  private _escape(): void {
    const { session } = this;
    switch (session.phase) {
      case 'asking':
        session.stop();
        break;
      case 'reviewing':
        void session.decide('rejected');
        break;
      case 'writing':
        break;
      case 'applied':
        if (session.tests?.isRunning) {
          session.tests.stop();
        } else {
          session.close();
        }
        break;
      case 'instructing':
      case 'answered':
      case 'failed':
        session.close();
    }
  }

  private _isNew = true;
}
