import { LabIcon } from '@jupyterlab/ui-components';

/** A branch that goes up: what is shipped. */
export const shipIcon = new LabIcon({
  name: 'aidp-ext:ship',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><path class="jp-icon3 jp-icon-selectable" fill="#616161" d="M17 2l5 5h-4v2c0 3.3-2.7 6-6 6H9.8A3.5 3.5 0 1 1 6 13.1V8.9a3.5 3.5 0 1 1 2 0v4.2l1.8-.1H12c2.2 0 4-1.8 4-4V7h-4zM7 4a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3zm0 11a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3z"/></svg>'
});
