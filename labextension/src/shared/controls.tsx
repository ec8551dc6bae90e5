import type { LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

/** A button that is an icon; its label is said and shown as a tooltip. */
export function IconButton(props: {
  readonly icon: LabIcon;
  readonly label: string;
  readonly onClick: (event: React.MouseEvent<HTMLButtonElement>) => void;
  readonly isBusy?: boolean;
  readonly hasMenu?: boolean;
}): React.ReactElement {
  const { icon: Icon, label, onClick, isBusy, hasMenu } = props;
  return (
    <button
      type="button"
      className="jp-AidpIconButton"
      title={label}
      aria-label={label}
      aria-busy={isBusy}
      aria-haspopup={hasMenu ? 'menu' : undefined}
      onClick={onClick}
    >
      <Icon.react tag="span" width="16px" />
    </button>
  );
}

/** The browser's own list to choose from, in Lab's colours. */
export function Select<T extends string>(props: {
  readonly label: string;
  readonly value: T;
  /** Each with the words for it. */
  readonly options: readonly (readonly [T, string])[];
  readonly onChange: (value: T) => void;
  readonly title?: string;
  readonly isDisabled?: boolean;
}): React.ReactElement {
  const { label, value, options, onChange, title, isDisabled } = props;
  return (
    <select
      className="jp-AidpSelect"
      aria-label={label}
      title={title ?? label}
      value={value}
      disabled={isDisabled}
      onChange={event => onChange(event.currentTarget.value as T)}
    >
      {options.map(([option, words]) => (
        <option key={option} value={option}>
          {words}
        </option>
      ))}
    </select>
  );
}

/** How much of something: the words beside it say it too. */
export function Bar(props: {
  /** 0 to 1; null while nobody knows. */
  readonly share: number | null;
  readonly label: string;
  readonly state?: string;
}): React.ReactElement {
  const { share, label, state } = props;
  const percent = share === null ? undefined : Math.round(share * 100);
  return (
    <span
      className="jp-AidpBar"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      data-state={state}
    >
      <span
        className="jp-AidpBar-filled"
        style={{ width: `${Math.min(100, percent ?? 100)}%` }}
      />
    </span>
  );
}
