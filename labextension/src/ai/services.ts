import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ITranslator } from '@jupyterlab/translation';
import { nullTranslator } from '@jupyterlab/translation';

import { Format } from '../shared/format';
import { AidpServer } from '../shared/request';
import { AiApi } from './api';

export const DOMAIN = 'aidp_ext';

/** How a command without arguments describes them. */
export const NO_ARGUMENTS = {
  args: { type: 'object', properties: {} }
} as const;

export function createApi(
  app: JupyterFrontEnd,
  translator: ITranslator | null
): AiApi {
  const trans = (translator ?? nullTranslator).load(DOMAIN);
  return new AiApi(new AidpServer(app.serviceManager.serverSettings, trans));
}

export function createFormat(translator: ITranslator | null): Format {
  const { languageCode } = translator ?? nullTranslator;
  return new Format((translator ?? nullTranslator).load(DOMAIN), languageCode);
}
