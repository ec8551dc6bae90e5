import * as React from 'react';
// @ts-expect-error It comes with Lab, without its types.
import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, it, vi } from 'vitest';

import { Accounts } from '../src/git/dialog/accounts';
import { GitModel } from '../src/git/model';
import { Content } from '../src/git/panel/content';
import type { IGitContext } from '../src/git/panel/context';
import { GitProvider } from '../src/git/panel/context';
import type { IRepositoryState } from '../src/git/wire';
import { Clock } from '../src/shared/clock';
import { Format } from '../src/shared/format';
import { json, settled, trans } from './fakes';
import type { IGitCalled } from './git-fakes';
import { Feed, apiWith, change, finding, job, state } from './git-fakes';

// The package loads a thousand web components, which need a browser.
vi.mock('@jupyterlab/ui-components', () => {
  const icon = { react: () => React.createElement('svg') };
  return {
    closeIcon: icon,
    ellipsesIcon: icon,
    refreshIcon: icon,
    LabIcon: class {},
    ReactWidget: class {}
  };
});

function setup(answer: (called: IGitCalled) => Response | null = () => null) {
  const { api } = apiWith(answer);
  const model = new GitModel({ api });
  const context: IGitContext = {
    clock: new Clock(),
    commands: {} as IGitContext['commands'],
    format: new Format(trans),
    model,
    trans,
    hasGit: () => true,
    openPlace: () => {},
    openChange: () => {},
    leave: () => {},
    openMenu: () => {}
  };
  const html = (component: React.FC = Content) =>
    renderToStaticMarkup(
      React.createElement(
        GitProvider,
        { value: { ...context, prefix: 'p' } },
        React.createElement(component)
      )
    );
  return { html, model };
}

const here = (news: Partial<IRepositoryState> = {}) => {
  const { html, model } = setup(({ what }) =>
    what === 'GET ship' ? json({ job: null }) : null
  );
  model.adopt(state(news));
  return { html, model, repository: model.repository! };
};

/** The words of a page. */
const words = (html: string) =>
  html
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .replaceAll('&#x27;', "'");

describe('the panel', () => {
  it('says that it is loading', () => {
    expect(setup().html()).toContain('jp-AidpPanel-loading');
  });

  it('says what went wrong, and offers to try again', async () => {
    const error = { code: 'git_failed', message: 'Git is not here.' };
    const { html, model } = setup(() => json({ error }, 500));
    model.follow('a', 'a');
    await model.look(true);
    expect(words(html())).toMatch(/Git is not here\..*Try again/);
  });

  it('offers both ways to a repository where there is none', async () => {
    const error = { code: 'not_a_repository', message: 'None.' };
    const { html, model } = setup(() => json({ error }, 404));
    model.follow('docs/a.md', 'docs');
    await model.look(true);
    expect(words(html())).toMatch(
      /No repository here\. Import from GitHub Start one in this folder/
    );
  });

  it('shows the repository, its changes and the one button', () => {
    const { html, repository } = here({
      ahead: 2,
      changes: [
        change({ staged: 'yes', path: 'src/prep.py', added: 18, removed: 4 }),
        change({ path: 'raw.csv', added: null, removed: null, size: 214e6 })
      ]
    });
    repository.draft.message = 'feat: age';
    const page = html();
    expect(words(page)).toMatch(/titanic.*feature\/age.*↑ ?2 ↓ ?0/);
    expect(words(page)).toMatch(/Changes 1 ?\/ ?2/);
    expect(words(page)).toMatch(/\+18 −4/);
    expect(words(page)).toMatch(/214 MB ⚠ large/);
    expect(words(page)).toContain('Ship: commit → push → pull request');
    expect(page).not.toMatch(/<button[^>]*jp-AidpShip-button[^>]*disabled/);
  });

  it('says what is missing', () => {
    const { html } = here({ changes: [change({ staged: 'yes' })] });
    expect(words(html())).toContain('Write a message, or have one suggested.');
    expect(html()).toMatch(/jp-AidpShip-button" disabled/);
  });

  it('offers the ways out of a merge, of a lock, and of being behind', () => {
    expect(words(here({ operation: 'merge' }).html())).toMatch(
      /A merge is under way\..*Take it back….*Open in Git/
    );
    expect(words(here({ lock_age_s: 90 }).html())).toMatch(
      /for 90 s.*Remove the lock…/
    );
    expect(words(here({ behind: 1 }).html())).toMatch(
      /The remote has 1 commit more\. Pull/
    );
  });

  it('shows the steps instead of the button, the failing one with its words', async () => {
    const failed = job({ state: 'failed' }, 'done', 'done', 'failed');
    const { html, model } = setup(({ what }) =>
      what === 'GET ship' ? json({ job: failed }) : null
    );
    model.adopt(state());
    await settled();
    const page = html();
    expect(words(page)).toMatch(
      /Push failed It moved\..*Retry from here Cancel/
    );
    expect(page).not.toContain('jp-AidpShip-button"');
    expect(page).toContain('role="status">Push: It moved.');
  });

  it('labels everything that can be pressed or filled in', async () => {
    const preflight = new Feed();
    const { html, model } = setup(({ what }) =>
      what === 'POST preflight'
        ? preflight.response
        : what === 'GET ship'
          ? json({ job: job({}, 'running') })
          : what === 'GET pull-request'
            ? json({
                pull_request: {
                  ...{ number: 12, title: 'Age', url: 'https://x.test/12' },
                  ...{ state: 'open', draft: true, head: 'a', base: 'main' },
                  notes: []
                },
                checks: {
                  state: 'failure',
                  checks: [
                    {
                      ...{ name: 'tests', state: 'failure', url: null },
                      ...{ summary: null, log_tail: 'E: no' }
                    }
                  ]
                }
              })
            : null
    );
    model.adopt(state({ changes: [change()] }));
    const run = model.repository!.preflight.run();
    preflight.send(
      {
        kind: 'check',
        check: {
          ...{ name: 'secrets', waived: 0, skipped: null, note: null },
          findings: [finding({ fixes: [{ name: 'x', label: 'Unstage' }] })]
        }
      },
      { kind: 'done', tree: 't', blocking: 1 }
    );
    preflight.end();
    await run;
    await settled();
    const page = html();
    expect(words(page)).toMatch(/Pull request #12 draft · ✖ checks failed/);
    for (const [tag] of page.matchAll(/<(input|textarea)[^>]*>/g)) {
      expect(tag).toMatch(/aria-label="[^"]+"/);
    }
    expect(words(page)).toMatch(/secrets An AWS key\..*a\.py line 3.*Unstage/);
    const buttons = [...page.matchAll(/<button([^>]*)>(.*?)<\/button>/g)];
    expect(buttons.length).toBeGreaterThan(12);
    for (const [, tag, inside] of buttons) {
      const name = /aria-label="([^"]+)"/.exec(tag!)?.[1];
      expect(name ?? words(inside!).trim()).not.toBe('');
    }
  });
});

describe('accounts', () => {
  it('say who one is, from where, and what can be done', async () => {
    const account = {
      ...{ host: 'github.com', kind: 'github', url: 'https://github.com' },
      ...{ login: 'ana', name: 'Ana', email: 'ana@x.test', problem: null },
      ...{ source: 'keyring', can_use_device: true }
    };
    const { html, model } = setup(() => json({ accounts: [account] }));
    await model.accounts.list.load();
    expect(words(html(Accounts))).toMatch(
      /github\.com ana Sign in Replace the token Remove commits as Ana &lt;ana@x\.test&gt; · token in the keyring/
    );
  });
});
