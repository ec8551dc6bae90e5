import * as React from 'react';

import type { AidpError } from '../../shared/request';
import { asAidpError } from '../../shared/request';
import { useGit } from '../panel/context';
import type { IRemoteRepository } from '../wire';

/** How long the words have to rest before they are looked for. */
const REST_MS = 250;

export interface IFound {
  /** Null until the first answer. */
  readonly found: readonly IRemoteRepository[] | null;
  readonly error: AidpError | null;
  readonly isLoading: boolean;
  readonly hasMore: boolean;
  readonly more: () => void;
  readonly retry: () => void;
}

interface IPages {
  readonly host: string;
  readonly found: readonly IRemoteRepository[];
  readonly next: number | null;
}

/** The repositories on a forge with these words in their name, page by page. */
export function useFound(host: string, words: string): IFound {
  const { model } = useGit();
  const [pages, setPages] = React.useState<IPages | null>(null);
  const [error, setError] = React.useState<AidpError | null>(null);
  const [isLoading, setLoading] = React.useState(false);
  const [asked, retry] = React.useReducer((count: number) => count + 1, 0);
  const abort = React.useRef(new AbortController());
  const load = async (page: number, before: readonly IRemoteRepository[]) => {
    abort.current.abort();
    const { signal } = (abort.current = new AbortController());
    setLoading(true);
    try {
      const { repositories, next_page } = await model.repositories(
        host,
        words.trim(),
        page,
        signal
      );
      if (!signal.aborted) {
        const known = new Set(before.map(({ full_name }) => full_name));
        const others = repositories.filter(one => !known.has(one.full_name));
        setPages({ host, found: [...before, ...others], next: next_page });
        setError(null);
      }
    } catch (reason) {
      if (!signal.aborted) {
        setError(asAidpError(reason));
      }
    }
    if (!signal.aborted) {
      setLoading(false);
    }
  };
  React.useEffect(() => {
    const timer = setTimeout(() => void load(1, []), pages ? REST_MS : 0);
    return () => {
      clearTimeout(timer);
      abort.current.abort();
    };
  }, [host, words, asked]);
  const isHere = pages?.host === host;
  return {
    found: isHere ? pages.found : null,
    error,
    isLoading,
    hasMore: isHere && pages.next !== null,
    more: () => {
      if (pages?.next && !isLoading) {
        void load(pages.next, pages.found);
      }
    },
    retry
  };
}
