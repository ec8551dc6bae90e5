import type { IDisposable } from '@lumino/disposable';

import { Resource } from '../../shared/resource';
import type { ExperimentsApi } from '../api';

/** What aidp keeps beside a run's own artifacts. */
const CELLS = 'aidp/cells.json';
const PATCH = 'aidp/uncommitted.patch';
const PACKAGES = 'aidp/requirements.txt';
const ENVIRONMENT = 'aidp/environment.json';
/** Where the facts name packages, which have a list of their own. */
const PACKAGES_IN = new Set(['packages', 'from']);
/** A longer diff is offered as a file. */
const MOST_PATCH = 2_000_000;

/** A cell that ran in the run's kernel before the run began. */
export interface IRanCell {
  readonly count: number | null;
  readonly cell_id: string | null;
  readonly source: string;
  readonly ok: boolean | null;
}

export interface IPackage {
  readonly name: string;
  readonly version: string;
}

/** What is kept of a run's code and environment, asked for when it is looked at. */
export class RunCode implements IDisposable {
  constructor(api: ExperimentsApi, id: string) {
    this.cells = new Resource(async signal =>
      cellsOf(await api.text(id, CELLS, signal))
    );
    this.patch = new Resource(signal => api.text(id, PATCH, signal));
    this.packages = new Resource(async signal =>
      packagesOf(await api.text(id, PACKAGES, signal))
    );
    this.environment = new Resource(async signal =>
      factsOf(await api.text(id, ENVIRONMENT, signal))
    );
  }

  readonly cells: Resource<readonly IRanCell[]>;
  readonly patch: Resource<string>;
  readonly packages: Resource<readonly IPackage[]>;
  readonly environment: Resource<readonly (readonly [string, string])[]>;

  get isDisposed(): boolean {
    return this.patch.isDisposed;
  }

  dispose(): void {
    for (const one of [
      this.cells,
      this.patch,
      this.packages,
      this.environment
    ]) {
      one.dispose();
    }
  }
}

/** Where the diff lies, for a download. */
export const PATCH_PATH = PATCH;
export const PACKAGES_PATH = PACKAGES;

/** Whether a diff is short enough to be shown. */
export function isShown(patchBytes: number | null): boolean {
  return patchBytes !== null && patchBytes > 0 && patchBytes <= MOST_PATCH;
}

/** How many lines a diff adds and takes away. */
export function linesIn(patch: string): number {
  return patch
    .split('\n')
    .filter(line => /^[+-]/.test(line) && !/^(\+\+\+|---)( |$)/.test(line))
    .length;
}

/** The cells of the file, whatever else it holds. */
export function cellsOf(text: string): readonly IRanCell[] {
  const said: unknown = JSON.parse(text);
  const list = Array.isArray(said) ? (said as Record<string, unknown>[]) : [];
  return list
    .filter(one => typeof one?.['source'] === 'string')
    .map(one => ({
      count: typeof one['count'] === 'number' ? one['count'] : null,
      cell_id: typeof one['cell_id'] === 'string' ? one['cell_id'] : null,
      source: one['source'] as string,
      ok: typeof one['ok'] === 'boolean' ? one['ok'] : null
    }));
}

/** The lines of a requirements file: `name==version`, or what else they say. */
export function packagesOf(text: string): readonly IPackage[] {
  return text
    .split(/\r?\n/)
    .map(line => line.trim())
    .filter(line => line && !line.startsWith('#'))
    .map(line => {
      const at = line.search(/==|\s*@\s/);
      return at < 0
        ? { name: line, version: '' }
        : {
            name: line.slice(0, at).trim(),
            version: line.slice(at).replace(/^\s*(==|@)\s*/, '')
          };
    });
}

/** The facts of the file as lines: what lies deeper is named by its way. */
export function factsOf(text: string): readonly (readonly [string, string])[] {
  const said = Object.entries(JSON.parse(text) as Record<string, unknown>);
  const facts = said.filter(([name]) => !PACKAGES_IN.has(name));
  return flat(Object.fromEntries(facts), '');
}

function flat(value: unknown, name: string): (readonly [string, string])[] {
  if (Array.isArray(value)) {
    const isPlain = value.every(one => typeof one !== 'object' || one === null);
    return isPlain
      ? [[name, value.map(String).join(', ')]]
      : value.flatMap((one, index) => flat(one, `${name} ${index + 1}`.trim()));
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, one]) =>
      flat(one, name ? `${name} › ${key}` : key)
    );
  }
  return value === null || value === '' ? [] : [[name, String(value)]];
}
