import { aiPlugins } from './ai/plugin';

export { IAiModel } from './ai/tokens';

export default [...aiPlugins];
