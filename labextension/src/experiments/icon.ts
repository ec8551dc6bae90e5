import { LabIcon } from '@jupyterlab/ui-components';

const CURVES =
  '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><path class="jp-icon3 jp-icon-selectable" fill="#616161" d="M3 3h2v16h16v2H3zm4 13c4-1 4-4 5-7s3-6 8-6v2c-4 0-5 2-6 5s-2 7-7 8zm0-6c5 0 6 2 7 4s2 3 6 3v2c-5 0-7-2-8-4s-1-3-5-3z"/></svg>';

/** Two curves over time: what is measured. */
export const experimentsIcon = new LabIcon({
  name: 'aidp-ext:experiments',
  svgstr: CURVES
});

/** The same as an address, for cards that show pictures. */
export const iconAddress = `data:image/svg+xml,${encodeURIComponent(
  CURVES.replace('#616161', '#f37726')
)}`;
