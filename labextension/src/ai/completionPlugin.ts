import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { ICompletionProviderManager } from '@jupyterlab/completer';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import type { Widget } from '@lumino/widgets';

import { aidpIcon } from '../shared/icons';
import type { ICompletionSettings } from './completion';
import { AidpInlineProvider } from './completion';
import { IContextGatherer } from './context/tokens';
import { documentPath } from './excerpt';
import { Feedback } from './feedback';
import { languageName } from './languages';
import { editorOf, notebookOf } from './panels';
import { DOMAIN, NO_ARGUMENTS, createApi } from './services';
import { Surroundings } from './surroundings';
import { opensBlock } from './tidy/scan';
import { CommandIDs, IAiModel } from './tokens';
import { Wanted } from './wanted';

/** Moving through cells with the arrow keys is not coming to each of them. */
const ARRIVED_MS = 300;

/** Lab's commands that go through the suggestions. */
const CYCLING = ['inline-completer:next', 'inline-completer:previous'];

/** Its id is also the name of its settings, schema/ai.json. */
export const completion: JupyterFrontEndPlugin<void> = {
  id: 'aidp-ext:ai',
  description: 'Suggests code while typing.',
  autoStart: true,
  requires: [ICompletionProviderManager, ISettingRegistry, IAiModel],
  optional: [
    IContextGatherer,
    INotebookTracker,
    IEditorLanguageRegistry,
    IStateDB,
    ICommandPalette,
    ITranslator
  ],
  activate: async (
    app: JupyterFrontEnd,
    manager: ICompletionProviderManager,
    registry: ISettingRegistry,
    model: IAiModel,
    gatherer: IContextGatherer | null,
    notebooks: INotebookTracker | null,
    languages: IEditorLanguageRegistry | null,
    state: IStateDB | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    const { commands } = app;
    const { contents } = app.serviceManager;
    const api = createApi(app, translator);
    const feedback = new Feedback(api);
    const pathOf = (widget: unknown) => documentPath(widget, contents);
    const wanted = new Wanted(pathOf, state);
    const surroundings = new Surroundings({
      gatherer,
      pathOf,
      languageOf: mimeType => languageName(languages, mimeType),
      isWanted: (widget, language) => wanted.isWanted(widget, language)
    });
    const provider = new AidpInlineProvider({
      api,
      model,
      feedback,
      surroundings: (context, prefix, limit) =>
        surroundings.at(context, prefix, limit),
      refresh: () => void commands.execute('inline-completer:invoke'),
      icon: aidpIcon
    });
    manager.registerInlineProvider(provider);
    reportWhenHidden(feedback);
    inviteInNewLines(provider, () => editorOf(app.shell.currentWidget));

    const settings = await registry.load(completion.id);
    const apply = () => {
      const all = settings.composite as unknown as ICompletionSettings;
      provider.settings = all;
      wanted.languages = settings.get('languages').composite as Record<
        string,
        boolean
      >;
      commands.notifyCommandChanged(CommandIDs.toggleCompletion);
    };
    let arrival: ReturnType<typeof setTimeout> | undefined;
    notebooks?.activeCellChanged.connect((tracker, cell) => {
      clearTimeout(arrival);
      const panel = tracker.currentWidget;
      const { enabled } = settings.composite as unknown as ICompletionSettings;
      if (cell?.model.type === 'code' && panel && enabled) {
        arrival = setTimeout(() => {
          if (!panel.isDisposed && model.reachable) {
            const { cellCharacters } =
              settings.composite as unknown as ICompletionSettings;
            surroundings.enter(panel, cellCharacters);
          }
        }, ARRIVED_MS);
      }
    });
    addCommands({
      app,
      provider,
      settings,
      wanted,
      document: () =>
        pathOf(app.shell.currentWidget) ? app.shell.currentWidget : null,
      palette,
      translator
    });
    settings.changed.connect(apply);
    apply();
  }
};

interface ICommandsOptions {
  readonly app: JupyterFrontEnd;
  readonly provider: AidpInlineProvider;
  readonly settings: ISettingRegistry.ISettings;
  readonly wanted: Wanted;
  /** The document that the user is in. */
  readonly document: () => Widget | null;
  readonly palette: ICommandPalette | null;
  readonly translator: ITranslator | null;
}

function addCommands(options: ICommandsOptions): void {
  const { app, provider, settings, wanted, document: current } = options;
  const { commands, shell } = app;
  const trans = (options.translator ?? nullTranslator).load(DOMAIN);
  commands.addCommand(CommandIDs.toggleCompletion, {
    label: trans.__('AI Suggestions While Typing'),
    isToggled: () => settings.get('enabled').composite === true,
    describedBy: NO_ARGUMENTS,
    execute: () =>
      settings.set('enabled', settings.get('enabled').composite !== true)
  });
  commands.addCommand(CommandIDs.toggleCompletionHere, {
    label: () =>
      notebookOf(current())
        ? trans.__('Suggest in This Notebook')
        : trans.__('Suggest in This File'),
    isEnabled: () => current() !== null,
    isToggled: () => {
      const widget = current();
      return widget !== null && !wanted.isOff(widget);
    },
    describedBy: NO_ARGUMENTS,
    execute: async () => {
      const widget = current();
      if (widget) {
        await wanted.toggle(widget);
      }
    }
  });
  const hereChanged = () =>
    commands.notifyCommandChanged(CommandIDs.toggleCompletionHere);
  wanted.changed.connect(hereChanged);
  shell.currentChanged?.connect(hereChanged);
  const atSuggestion = (id: string, label: string, execute: () => void) =>
    commands.addCommand(id, {
      label,
      isEnabled: () => provider.isShown,
      describedBy: NO_ARGUMENTS,
      execute
    });
  atSuggestion(
    CommandIDs.acceptWord,
    trans.__('Accept Next Word of AI Suggestion'),
    () => provider.acceptWord()
  );
  atSuggestion(
    CommandIDs.acceptLine,
    trans.__('Accept Next Line of AI Suggestion'),
    () => provider.acceptLine()
  );
  atSuggestion(CommandIDs.dismiss, trans.__('Dismiss AI Suggestion'), () =>
    provider.dismiss()
  );
  for (const command of [
    CommandIDs.toggleCompletion,
    CommandIDs.toggleCompletionHere,
    CommandIDs.acceptWord,
    CommandIDs.acceptLine,
    CommandIDs.dismiss
  ]) {
    options.palette?.addItem({ command, category: trans.__('AI') });
  }
  commands.commandExecuted.connect((_, { id }) => {
    if (id === 'inline-completer:accept') {
      provider.accepted();
    } else if (CYCLING.includes(id)) {
      void provider.cycle(() => void commands.execute(id));
    }
  });
  const atKey = [
    CommandIDs.acceptWord,
    CommandIDs.acceptLine,
    CommandIDs.dismiss
  ];
  document.addEventListener(
    'keydown',
    event => {
      provider.keyAt = event.timeStamp;
      if (atKey.some(command => runsShortcut(commands, command, event))) {
        event.preventDefault();
        event.stopPropagation();
      }
    },
    true
  );
}

/** Lab asks in no empty line, where a block or what a comment announces would begin. */
function inviteInNewLines(
  provider: AidpInlineProvider,
  editorOf: () => CodeEditor.IEditor | null
): void {
  document.addEventListener('keydown', ({ key, isComposing, target }) => {
    const isNewLine =
      key === 'Enter' &&
      !isComposing &&
      target instanceof Element &&
      target.closest('.jp-mod-completer-enabled');
    if (!isNewLine) {
      return;
    }
    // When the editor has done with the key.
    setTimeout(() => {
      const editor = editorOf();
      if (editor?.hasFocus()) {
        const { line } = editor.getCursorPosition();
        const before = line > 0 ? (editor.getLine(line - 1) ?? '') : '';
        const isEmpty = editor.getLine(line)?.trim() === '';
        if (
          isEmpty &&
          (opensBlock(before) || /^\s*(#|\/\/)\s*\S/.test(before))
        ) {
          provider.invite();
        }
      }
    });
  });
}

/** A hidden page may never be seen again. */
function reportWhenHidden(feedback: Feedback): void {
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
      void feedback.send();
    }
  });
  window.addEventListener('pagehide', () => void feedback.send());
}

/**
 * Run a command by its shortcut before the editor sees the key, as Lab does with Tab: shortcuts come after the
 * editor's own keys, and the editor has one for each arrow.
 */
function runsShortcut(
  commands: CommandRegistry,
  command: string,
  event: KeyboardEvent
): boolean {
  const pressed = CommandRegistry.keystrokeForKeydownEvent(event);
  const isMeant = commands.keyBindings.some(
    ({ command: bound, keys, selector }) =>
      bound === command &&
      keys.length === 1 &&
      keys[0] === pressed &&
      event.target instanceof Element &&
      event.target.closest(selector)
  );
  if (isMeant && commands.isEnabled(command)) {
    void commands.execute(command);
    return true;
  }
  return false;
}
