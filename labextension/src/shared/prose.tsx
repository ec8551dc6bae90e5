import * as React from 'react';

/** A sentence of the server's, in which backticks mark what to type. */
export function Prose(props: {
  readonly text: string | null | undefined;
}): React.ReactElement {
  const parts = (props.text ?? '').split('`');
  return (
    <>
      {parts.map((part, index) =>
        index % 2 ? <code key={index}>{part}</code> : part
      )}
    </>
  );
}
