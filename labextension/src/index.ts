import { actionsPlugins } from './actions/plugin';
import { contextPlugins } from './ai/context/plugin';
import { aiPlugins } from './ai/plugin';
import { chatPlugins } from './chat/plugin';
import { experimentsPlugins } from './experiments/plugin';
import { gitPlugins } from './git/plugin';
import { hubPlugins } from './hub/plugin';

export { IContextGatherer } from './ai/context/tokens';
export { IAiModel } from './ai/tokens';

export default [
  ...aiPlugins,
  ...contextPlugins,
  ...actionsPlugins,
  ...chatPlugins,
  ...gitPlugins,
  ...experimentsPlugins,
  ...hubPlugins
];
