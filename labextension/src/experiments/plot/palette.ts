/**
 * How lines are told from each other: by colour and by dashes, so that nothing hangs on colour alone.
 *
 * The hues follow Okabe and Ito's set for people who see colours differently (https://jfly.uni-koeln.de/color/),
 * darkened on a light ground and lightened on a dark one until each has a contrast of at least 3 : 1.
 */

const ON_LIGHT = [
  '#0072b2',
  '#d14900',
  '#00805c',
  '#b8528f',
  '#8a6d00',
  '#5b4fc4',
  '#a3272f',
  '#4d5a63'
];

const ON_DARK = [
  '#56b4e9',
  '#ff8a4c',
  '#2fd0a0',
  '#e79bc8',
  '#f0d64a',
  '#a9a4ff',
  '#ff9c9c',
  '#b9c4cc'
];

/** In pixels: drawn, left out, …; the first is a whole line. Five of them and eight colours make forty pairs. */
const DASHES: readonly (readonly number[])[] = [
  [],
  [8, 4],
  [2, 3],
  [10, 3, 2, 3],
  [14, 5]
];

export interface ILook {
  readonly color: string;
  readonly dash: readonly number[];
}

/** How the line with this number looks. */
export function lookOf(index: number, isDark: boolean): ILook {
  const colors = isDark ? ON_DARK : ON_LIGHT;
  return {
    color: colors[index % colors.length]!,
    dash: DASHES[index % DASHES.length]!
  };
}

/** The colour with this opacity, 0 to 1. */
export function faded(color: string, opacity: number): string {
  const alpha = Math.round(opacity * 255)
    .toString(16)
    .padStart(2, '0');
  return `${color}${alpha}`;
}

/** A colour for a share of 0 to 1, from the ground's opposite to a strong blue or yellow: its lightness tells, too. */
export function ramp(share: number, isDark: boolean): string {
  const at = Math.min(1, Math.max(0, share));
  const [from, to] = isDark
    ? [
        [94, 84, 142],
        [250, 222, 90]
      ]
    : [
        [198, 140, 20],
        [40, 30, 120]
      ];
  const mixed = from!.map((one, index) =>
    Math.round(one + (to![index]! - one) * at)
  );
  return `rgb(${mixed.join(' ')})`;
}
