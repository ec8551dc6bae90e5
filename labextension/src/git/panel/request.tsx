import * as React from 'react';

import { Mark } from '../../ai/mark';
import { Select } from '../../shared/controls';
import { Button, Problem } from '../../shared/panel';
import { Section } from '../../shared/section';
import { branchFor } from '../wording';
import { useGit, useRepository } from './context';
import { Written } from './message';

/** How the pull request is to be, where one is wanted. */
export function RequestOptions(): React.ReactElement | null {
  const { model, prefix, trans } = useGit();
  const repository = useRepository();
  const [isOpen, setOpen] = React.useState(false);
  const { base, draft, plan, state } = repository;
  const isDraft = draft.wish.isDraft ?? model.options.isDraft;
  if (state.remotes.length === 0 || plan.request === 'open') {
    return null;
  }
  const isOnForge = repository.isOnForge;
  const summary =
    plan.request === 'none'
      ? isOnForge
        ? trans.__('none')
        : (plan.branch ?? '')
      : [
          isDraft && trans.__('draft'),
          `${plan.branch ?? state.branch ?? ''} → ${base ?? '…'}`
        ]
          .filter(Boolean)
          .join(' · ');
  return (
    <Section
      id={`${prefix}-request`}
      title={isOnForge ? trans.__('Pull request') : trans.__('Branch')}
      summary={<span title={summary}>{summary}</span>}
      isOpen={isOpen}
      onToggle={open => {
        setOpen(open);
        if (open) {
          void repository.loadSuggestions();
        }
      }}
    >
      <Branch />
      {isOnForge && (
        <label className="jp-AidpShip-check">
          <input
            type="checkbox"
            checked={plan.request === 'new'}
            onChange={event =>
              draft.change({ isWanted: event.currentTarget.checked })
            }
          />
          {trans.__('Open a pull request')}
        </label>
      )}
      {plan.request === 'new' && <Wish />}
    </Section>
  );
}

function Branch(): React.ReactElement {
  const { prefix, trans } = useGit();
  const { draft, plan, state } = useRepository();
  const id = `${prefix}-branch`;
  return (
    <div className="jp-AidpShip-field">
      <label htmlFor={id}>{trans.__('New branch')}</label>
      <input
        id={id}
        className="jp-AidpField"
        value={draft.wish.branch ?? plan.branch ?? ''}
        spellCheck={false}
        autoCapitalize="off"
        placeholder={
          branchFor(draft.message) ||
          trans.__('none: stay on %1', state.branch ?? '…')
        }
        onChange={event => draft.change({ branch: event.currentTarget.value })}
      />
    </div>
  );
}

function Wish(): React.ReactElement {
  const { model, prefix, trans } = useGit();
  const repository = useRepository();
  const { base, draft, suggestions, state } = repository;
  const { wish } = draft;
  const { value, error } = suggestions;
  const isWriting = draft.writing === 'pull-request';
  const [subject = ''] = draft.message.trim().split('\n');
  const bases = [
    ...new Set([...(base ? [base] : []), ...(value?.bases ?? [])])
  ];
  return (
    <>
      <div className="jp-AidpShip-row">
        <span className="jp-AidpShip-grow">{trans.__('Title and text')}</span>
        <Button
          className="jp-AidpShip-all"
          onClick={() =>
            isWriting
              ? draft.stop()
              : void draft.suggest('pull-request', base ?? undefined)
          }
        >
          <Mark of="◆" /> {isWriting ? trans.__('stop') : trans.__('suggest')}
        </Button>
      </div>
      <input
        className="jp-AidpField"
        value={wish.title ?? ''}
        aria-label={trans.__('Title of the pull request')}
        aria-busy={isWriting}
        placeholder={subject || value?.title || trans.__('Title')}
        onChange={event => draft.change({ title: event.currentTarget.value })}
      />
      <textarea
        className="jp-AidpField"
        rows={Math.min(
          10,
          Math.max(3, (wish.body ?? value?.template ?? '').split('\n').length)
        )}
        value={wish.body ?? value?.template ?? ''}
        aria-label={trans.__('Text of the pull request')}
        aria-busy={isWriting}
        placeholder={trans.__('What it does, and how it was tried')}
        onChange={event => draft.change({ body: event.currentTarget.value })}
      />
      <Written of="pull-request" />
      <div className="jp-AidpShip-field">
        <label htmlFor={`${prefix}-base`}>{trans.__('Into')}</label>
        {bases.length > 0 ? (
          <span id={`${prefix}-base`}>
            <Select
              label={trans.__('Branch that it goes into')}
              value={base ?? ''}
              options={bases.map(one => [one, one])}
              onChange={chosen => draft.change({ base: chosen })}
            />
          </span>
        ) : (
          <input
            id={`${prefix}-base`}
            className="jp-AidpField"
            value={base ?? ''}
            placeholder={state.branch ?? ''}
            onChange={event =>
              draft.change({ base: event.currentTarget.value || null })
            }
          />
        )}
      </div>
      <label className="jp-AidpShip-check">
        <input
          type="checkbox"
          checked={wish.isDraft ?? model.options.isDraft}
          onChange={event =>
            draft.change({ isDraft: event.currentTarget.checked })
          }
        />
        {trans.__('As a draft')}
      </label>
      <Several
        label={trans.__('Reviewers')}
        all={value?.reviewers ?? []}
        chosen={wish.reviewers}
        onChange={reviewers => draft.change({ reviewers })}
      />
      <Several
        label={trans.__('Labels')}
        all={value?.labels ?? []}
        chosen={wish.labels}
        onChange={labels => draft.change({ labels })}
      />
      {error && !value && (
        <Problem
          message={error.message}
          nextStep={error.nextStep}
          action={{
            label: trans.__('Try again'),
            run: () => void suggestions.load()
          }}
        />
      )}
    </>
  );
}

/** Some of a few: those that are chosen as chips, and a list to add from. */
function Several(props: {
  readonly label: string;
  readonly all: readonly string[];
  readonly chosen: readonly string[];
  readonly onChange: (chosen: readonly string[]) => void;
}): React.ReactElement | null {
  const { label, all, chosen, onChange } = props;
  const { trans } = useGit();
  if (all.length === 0 && chosen.length === 0) {
    return null;
  }
  const others = all.filter(one => !chosen.includes(one));
  return (
    <div className="jp-AidpShip-several" role="group" aria-label={label}>
      {chosen.map(one => (
        <button
          key={one}
          type="button"
          className="jp-AidpShip-chip"
          title={trans.__('Take %1 away', one)}
          aria-label={trans.__('Take %1 away', one)}
          onClick={() => onChange(chosen.filter(other => other !== one))}
        >
          {one} <span aria-hidden>×</span>
        </button>
      ))}
      {others.length > 0 && (
        <Select
          label={label}
          value=""
          options={[['', label], ...others.map(one => [one, one] as const)]}
          onChange={one => one && onChange([...chosen, one])}
        />
      )}
    </div>
  );
}
