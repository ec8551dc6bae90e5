import * as React from 'react';

import type { AidpError } from '../../shared/request';
import { asAidpError } from '../../shared/request';
import { Panel, Problem } from '../../shared/panel';
import { useRun, useRunContext } from '../run/context';
import type { IArtifact, IArtifacts } from '../wire';
import { visible } from '../wording';
import { Models } from './models';
import { Preview } from './preview';

/** What is known of a folder. */
type Folder = IArtifacts | AidpError | 'loading';

/** What the run logged: folders that are asked for when they are opened, and what is in the chosen file. */
export function Artifacts(): React.ReactElement {
  const { trans } = useRunContext();
  const { artifact_root, models } = useRun();
  const tree = useFolders();
  const [chosen, setChosen] = React.useState<IArtifact | null>(null);
  const top = tree.folders.get('');
  return (
    <>
      {models.length > 0 && <Models />}
      {!top || top === 'loading' ? (
        <Panel state={{ kind: 'loading' }} trans={trans} />
      ) : !('files' in top) ? (
        <Panel
          state={{ kind: 'error', error: top, retry: () => tree.load('') }}
          trans={trans}
        />
      ) : top.files.length === 0 ? (
        <div className="jp-AidpRun-empty">
          <p>
            {trans.__(
              'No artifact was logged. mlflow.log_artifact("plot.png") would put it here.'
            )}
          </p>
        </div>
      ) : (
        <div className="jp-AidpArtifacts">
          <div className="jp-AidpArtifacts-tree">
            <Level
              path=""
              level={1}
              tree={tree}
              chosen={chosen}
              onChoose={setChosen}
            />
            <p className="jp-AidpRun-quiet" title={artifact_root}>
              {artifact_root}
            </p>
          </div>
          <div className="jp-AidpArtifacts-preview">
            {chosen ? (
              <Preview key={chosen.path} file={chosen} />
            ) : (
              <p className="jp-AidpRun-quiet">
                {trans.__('Choose a file to look into it.')}
              </p>
            )}
          </div>
        </div>
      )}
    </>
  );
}

interface IFolders {
  readonly folders: ReadonlyMap<string, Folder>;
  readonly open: ReadonlySet<string>;
  readonly load: (path: string) => void;
  readonly toggle: (path: string, isOpen: boolean) => void;
}

/** Folders as far as they were opened. */
function useFolders(): IFolders {
  const { api } = useRunContext();
  const { id, status } = useRun();
  const [folders, setFolders] = React.useState<ReadonlyMap<string, Folder>>(
    new Map()
  );
  const [open, setOpen] = React.useState<ReadonlySet<string>>(new Set());
  const abort = React.useRef(new AbortController());
  React.useEffect(() => {
    abort.current = new AbortController();
    return () => abort.current.abort();
  }, []);
  const put = (path: string, folder: Folder) =>
    setFolders(before => new Map([...before, [path, folder]]));
  const load = (path: string, isQuiet = false) => {
    const { signal } = abort.current;
    if (!isQuiet) {
      put(path, 'loading');
    }
    api.artifacts(id, path, signal).then(
      said => !signal.aborted && put(path, said),
      (reason: unknown) => !signal.aborted && put(path, asAidpError(reason))
    );
  };
  // What a run logs at its end is there once it has ended.
  React.useEffect(() => {
    load('', folders.has(''));
    open.forEach(path => load(path, true));
  }, [id, status]);
  return {
    folders,
    open,
    load,
    toggle: (path, isOpen) => {
      setOpen(before => {
        const after = new Set(before);
        after[isOpen ? 'add' : 'delete'](path);
        return after;
      });
      if (isOpen && !folders.has(path)) {
        load(path);
      }
    }
  };
}

/** One folder's lines. The whole tree is one stop of the keyboard: arrows move, right and left unfold and fold. */
function Level(props: {
  readonly path: string;
  readonly level: number;
  readonly tree: IFolders;
  readonly chosen: IArtifact | null;
  readonly onChoose: (file: IArtifact) => void;
}): React.ReactElement {
  const { path, level, tree, chosen, onChoose } = props;
  const { format, trans } = useRunContext();
  const folder = tree.folders.get(path);
  if (!folder || folder === 'loading') {
    return (
      <p className="jp-AidpRun-quiet" role="status">
        {trans.__('Loading…')}
      </p>
    );
  }
  if (!('files' in folder)) {
    return (
      <Problem
        message={folder.message}
        nextStep={folder.nextStep}
        action={{ label: trans.__('Try again'), run: () => tree.load(path) }}
      />
    );
  }
  const isTop = level === 1;
  return (
    <ul
      role={isTop ? 'tree' : 'group'}
      aria-label={isTop ? trans.__('Artifacts') : undefined}
      onKeyDown={isTop ? moved : undefined}
    >
      {folder.files.map((file, index) => {
        const isOpen = tree.open.has(file.path);
        const isChosen = chosen?.path === file.path;
        const isStop = isChosen || (isTop && index === 0 && !chosen);
        const act = () =>
          file.is_dir ? tree.toggle(file.path, !isOpen) : onChoose(file);
        return (
          <li
            key={file.path}
            role="treeitem"
            aria-level={level}
            aria-expanded={file.is_dir ? isOpen : undefined}
            aria-selected={isChosen}
            aria-label={file.name}
            tabIndex={isStop ? 0 : -1}
            onClick={event => {
              event.stopPropagation();
              act();
            }}
            onKeyDown={event => {
              if (event.target !== event.currentTarget) {
                return;
              }
              const wants: Record<string, boolean> = {
                Enter: true,
                ' ': true,
                ArrowRight: file.is_dir && !isOpen,
                ArrowLeft: file.is_dir && isOpen
              };
              if (wants[event.key]) {
                event.preventDefault();
                event.stopPropagation();
                act();
              }
            }}
          >
            <span
              className="jp-AidpArtifacts-line"
              style={{ paddingLeft: 12 * (level - 1) }}
            >
              <span
                className={
                  file.is_dir ? 'jp-AidpCaret' : 'jp-AidpArtifacts-dot'
                }
                data-open={isOpen}
                aria-hidden
              />
              <span className="jp-AidpArtifacts-name" title={file.path}>
                {visible(file.name)}
                {file.is_dir && '/'}
              </span>
              {file.bytes !== null && !file.is_dir && (
                <span className="jp-AidpArtifacts-size">
                  {format.bytes(file.bytes)}
                </span>
              )}
            </span>
            {file.is_dir && isOpen && (
              <Level {...props} path={file.path} level={level + 1} />
            )}
          </li>
        );
      })}
      {folder.is_cut && (
        <li role="none" className="jp-AidpRun-quiet">
          {trans.__('There are more files than are listed here.')}
        </li>
      )}
    </ul>
  );
}

function moved(event: React.KeyboardEvent<HTMLElement>): void {
  const items = [
    ...event.currentTarget.querySelectorAll<HTMLElement>('[role="treeitem"]')
  ];
  const at = items.indexOf(document.activeElement as HTMLElement);
  const to: Record<string, number> = {
    ArrowUp: at - 1,
    ArrowDown: at + 1,
    Home: 0,
    End: items.length - 1
  };
  if (event.key in to && at >= 0) {
    items[to[event.key]!]?.focus();
    event.preventDefault();
  } else if (event.key === 'ArrowLeft' && at >= 0) {
    items[at]!.parentElement?.closest<HTMLElement>(
      '[role="treeitem"]'
    )?.focus();
  }
}
