import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { IConsoleTracker } from '@jupyterlab/console';
import { IEditorTracker } from '@jupyterlab/fileeditor';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';

import { documentPath } from '../excerpt';
import { languageName } from '../languages';
import { createApi } from '../services';
import { DocumentReader } from './documents';
import { ContextGatherer } from './gatherer';
import type { KernelContext } from './kernel';
import { KernelLook } from './kernel';
import { IContextGatherer } from './tokens';

/** The settings of completion and context are one page, schema/ai.json. */
const SETTINGS = 'aidp-ext:ai';

const gatherer: JupyterFrontEndPlugin<IContextGatherer> = {
  id: 'aidp-ext:ai-context',
  description: 'Gathers what a model is told beside the question.',
  autoStart: true,
  provides: IContextGatherer,
  optional: [
    INotebookTracker,
    IEditorTracker,
    IConsoleTracker,
    IEditorLanguageRegistry,
    ISettingRegistry,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker | null,
    editors: IEditorTracker | null,
    consoles: IConsoleTracker | null,
    languages: IEditorLanguageRegistry | null,
    settings: ISettingRegistry | null,
    translator: ITranslator | null
  ) => {
    const { contents } = app.serviceManager;
    const documents = new DocumentReader({
      notebooks,
      editors,
      consoles,
      pathOf: widget => documentPath(widget, contents),
      languageOf: mimeType => languageName(languages, mimeType)
    });
    const kernels = new KernelLook();
    const watch = (widget: Widget) => {
      const session = documents.session(widget);
      if (session) {
        kernels.watch(session, () => widget.isVisible);
      }
    };
    let last: Widget | null = null;
    for (const tracker of [notebooks, editors, consoles]) {
      tracker?.forEach(watch);
      tracker?.widgetAdded.connect((_, widget) => watch(widget));
      tracker?.currentChanged.connect((_, widget) => {
        last = widget ?? last;
        const session = widget && documents.session(widget);
        if (session) {
          kernels.cameIntoView(session);
        }
      });
      last ??= tracker?.currentWidget ?? null;
    }
    const apply = (one: ISettingRegistry.ISettings) => {
      kernels.allowed = one.get('kernelContext').composite as KernelContext;
    };
    settings?.load(SETTINGS).then(
      loaded => {
        loaded.changed.connect(apply);
        apply(loaded);
      },
      // Without its settings nothing is asked of any kernel.
      (reason: unknown) => console.warn('aidp: no settings of context', reason)
    );
    return new ContextGatherer({
      api: createApi(app, translator),
      documents,
      kernels,
      current: () => {
        const { currentWidget } = app.shell;
        if (currentWidget && documents.knows(currentWidget)) {
          return currentWidget;
        }
        return last && !last.isDisposed ? last : null;
      }
    });
  }
};

export const contextPlugins: JupyterFrontEndPlugin<unknown>[] = [gatherer];
