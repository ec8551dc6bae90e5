import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { Prose } from './prose';
import type { AidpError } from './request';

/** The states of everything that aidp shows. */
export type PanelState =
  | { readonly kind: 'full' }
  | { readonly kind: 'loading' }
  | {
      readonly kind: 'empty';
      /** What would be here. */
      readonly text: string;
      /** The one button that makes it so. */
      readonly action?: { readonly label: string; readonly run: () => void };
    }
  | {
      readonly kind: 'error';
      readonly error: AidpError;
      readonly retry?: () => void;
    };

/** The frame of every panel: its content when there is some, else why not and what to do. */
export function Panel(props: {
  readonly state: PanelState;
  readonly trans: TranslationBundle;
  readonly children?: React.ReactNode;
}): React.ReactElement {
  const { state, trans, children } = props;
  switch (state.kind) {
    case 'full':
      return <>{children}</>;
    case 'loading':
      return (
        <div className="jp-AidpPanel-loading" role="status">
          <span className="jp-AidpPanel-hidden">{trans.__('Loading…')}</span>
          <div className="jp-AidpPanel-skeleton" aria-hidden />
          <div className="jp-AidpPanel-skeleton" aria-hidden />
          <div className="jp-AidpPanel-skeleton" aria-hidden />
        </div>
      );
    case 'empty':
      return (
        <div className="jp-AidpPanel-message">
          <p>{state.text}</p>
          {state.action && (
            <Button onClick={state.action.run}>{state.action.label}</Button>
          )}
        </div>
      );
    case 'error':
      return <Failure {...state} trans={trans} />;
  }
}

/** A button of Lab's density. */
export const Button = React.forwardRef<
  HTMLButtonElement,
  React.ButtonHTMLAttributes<HTMLButtonElement>
>((props, ref) => (
  <button
    type="button"
    {...props}
    ref={ref}
    className={`jp-AidpButton ${props.className ?? ''}`}
  />
));

/** What went wrong with one thing, beside it: what happened, and what to do. */
export function Problem(props: {
  readonly message: string;
  readonly nextStep?: string | null;
  /** A button that mends it. */
  readonly action?: { readonly label: string; readonly run: () => void };
}): React.ReactElement {
  const { message, nextStep, action } = props;
  return (
    <div className="jp-AidpProblem" role="alert">
      <p>
        <Prose text={message} /> <Prose text={nextStep} />
      </p>
      {action && <Button onClick={action.run}>{action.label}</Button>}
    </div>
  );
}

function Failure(props: {
  readonly error: AidpError;
  readonly retry?: () => void;
  readonly trans: TranslationBundle;
}): React.ReactElement {
  const { error, retry, trans } = props;
  const details = { code: error.code, status: error.status, ...error.details };
  return (
    <div className="jp-AidpPanel-message" role="alert">
      <p>
        <Prose text={error.message} />
      </p>
      {error.nextStep && (
        <p>
          <Prose text={error.nextStep} />
        </p>
      )}
      {retry && <Button onClick={retry}>{trans.__('Try again')}</Button>}
      <details>
        <summary>{trans.__('Details')}</summary>
        <pre>{JSON.stringify(details, null, 2)}</pre>
      </details>
    </div>
  );
}
