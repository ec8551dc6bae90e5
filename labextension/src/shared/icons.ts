import { LabIcon } from '@jupyterlab/ui-components';

/** aidp's mark, also beside its ghost text and its settings. */
export const aidpIcon = new LabIcon({
  name: 'aidp-ext:aidp',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><path class="jp-icon3 jp-icon-selectable" fill="#616161" d="M12 2l8.5 10L12 22 3.5 12z"/></svg>'
});
