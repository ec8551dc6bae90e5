import type { JupyterFrontEnd } from '@jupyterlab/application';
import type {
  IEditorLanguageRegistry,
  IEditorThemeRegistry
} from '@jupyterlab/codemirror';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Format } from '../../shared/format';
import type { ExperimentsApi } from '../api';
import type { ExperimentsLive } from '../live';

/** What the tabs of runs and comparisons need of this Lab. */
export interface IExperimentServices {
  readonly app: JupyterFrontEnd;
  readonly api: ExperimentsApi;
  readonly live: ExperimentsLive;
  readonly trans: TranslationBundle;
  readonly format: Format;
  /** Renders notes and what a model says; null where Lab renders nothing. */
  readonly rendermime: IRenderMimeRegistry | null;
  readonly languages: IEditorLanguageRegistry | null;
  readonly themes: IEditorThemeRegistry | null;
  readonly documents: IDocumentManager | null;
}
