import { describe, expect, it } from 'vitest';

import { appended } from '../../src/experiments/plot/append';
import { Curves } from '../../src/experiments/plot/curves';
import { grouped, search } from '../../src/experiments/plot/groups';
import type { IChartOptions } from '../../src/experiments/plot/lines';
import { aligned, linesOf, nearest } from '../../src/experiments/plot/lines';
import {
  bestOf,
  difference,
  formatSpan,
  formatStep,
  formatValue,
  isSmallerBetter
} from '../../src/experiments/plot/numbers';
import { lookOf } from '../../src/experiments/plot/palette';
import { smooth } from '../../src/experiments/plot/smoothing';
import { marks, padded, powers } from '../../src/experiments/plot/ticks';
import {
  yLabels,
  yMarks,
  yRange,
  yScaleOf
} from '../../src/experiments/plot/yscale';
import type { ICurve, ICurveQuestion } from '../../src/experiments/wire';
import { settled } from '../fakes';

function curve(news: Partial<ICurve> = {}): ICurve {
  const y = news.y ?? [3, 2, 1];
  const x = news.x ?? y.map((_, index) => index);
  return {
    run: 'r1',
    metric: 'loss',
    x,
    y,
    min: y,
    max: y,
    step: [...x],
    time_ms: x.map(step => 1000 + step * 10),
    total: y.length,
    not_finite: 0,
    ...news
  };
}

const PLAIN: IChartOptions = {
  axis: 'step',
  isLog: false,
  smoothing: { kind: 'time', weight: 0 },
  showsEnvelope: true,
  ignoresOutliers: false
};
const ONE = [{ key: 'r1', label: 'one', index: 0 }];

describe('smoothing', () => {
  it('by count is the moving average of TensorBoard, freed of its bias', () => {
    const weight = 0.6;
    const y = [1, 4, 2, 8];
    // Its own words: last * w + (1 - w) * next, divided by 1 - w^n.
    let last = 0;
    const wanted = y.map((value, index) => {
      last = last * weight + (1 - weight) * value;
      return last / (1 - weight ** (index + 1));
    });
    expect(smooth([0, 1, 2, 3], y, { kind: 'count', weight }, 3)).toEqual(
      wanted
    );
    expect(wanted[0]).toBeCloseTo(1);
  });

  it('by distance treats a curve and its thinned copy alike', () => {
    const x = Array.from({ length: 2001 }, (_, index) => index);
    const y = x.map(value => Math.sin(value / 300) + 2);
    const every = (values: number[]) => values.filter((_, at) => at % 20 === 0);
    const how = { kind: 'time', weight: 0.9 } as const;
    const all = smooth(x, y, how, 2000) as number[];
    const some = smooth(every(x), every(y), how, 2000) as number[];
    every(all)
      .slice(5)
      .forEach((value, at) => expect(some[at + 5]).toBeCloseTo(value, 1));
  });

  it('leaves a gap a gap and a flat line flat', () => {
    const how = { kind: 'count', weight: 0.9 } as const;
    const smoothed = smooth([0, 1, 2], [1, null, 3], how, 2);
    expect(smoothed[1]).toBeNull();
    expect(smoothed[2]).toBeGreaterThan(1);
    expect(smooth([0, 1, 2], [0.1, 0.1, 0.1], how, 2)).toEqual([0.1, 0.1, 0.1]);
  });
});

describe('numbers', () => {
  it.each([
    [0.861234, '0.86123'],
    [1234567, '1,234,567'],
    [1.5e-7, '1.5e-7'],
    [1e300, '1e300'],
    [-2e-300, '-2e-300'],
    [0, '0'],
    ['NaN', 'NaN'],
    ['Infinity', '∞'],
    ['-Infinity', '−∞'],
    [null, '–']
  ] as const)('says %s as %s', (value, text) => {
    expect(formatValue(value)).toBe(text);
  });

  it('says spans and steps in few digits', () => {
    expect(formatSpan(0)).toBe('0');
    expect(formatSpan(1500)).toBe('1.5s');
    expect(formatSpan(125_000)).toBe('2:05');
    expect(formatSpan(3_725_000)).toBe('1:02:05');
    expect(formatStep(950)).toBe('950');
    expect(formatStep(100_000)).toBe('100k');
    expect(formatStep(1_500_000)).toBe('1.5M');
  });

  it('knows by its name whether less of a metric is better', () => {
    for (const name of [
      'loss',
      'val/loss',
      'train_rmse',
      'valLoss',
      'errors'
    ]) {
      expect(isSmallerBetter(name), name).toBe(true);
    }
    for (const name of ['accuracy', 'f1', 'glossary', 'r2_score', 'val_acc']) {
      expect(isSmallerBetter(name), name).toBe(false);
    }
  });

  it('marks the best values, and none where all are the same or only one is finite', () => {
    expect([...bestOf([3, 1, 1, 'NaN', null], true)]).toEqual([1, 2]);
    expect([...bestOf([3, 1, 'Infinity'], false)]).toEqual([0]);
    expect(bestOf([2, 2], true).size).toBe(0);
    expect(bestOf([2, 'NaN'], true).size).toBe(0);
  });

  it('says by how much values differ', () => {
    expect(difference(0.5, 0.25)).toBe('+0.25');
    expect(difference(0.25, 0.5)).toBe('−0.25');
    expect(difference(1, 1)).toBe('=');
    expect(difference('NaN', 1)).toBeNull();
    expect(difference(1e308, -1e308)).toBeNull();
  });
});

describe('axes', () => {
  it('have round marks, also at 1e300', () => {
    expect(marks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(marks(0, 1e300, 5)).toHaveLength(6);
    expect(marks(1, 1, 5)).toEqual([1]);
    expect(powers(0.001, 1000, 7)).toEqual([
      0.001, 0.01, 0.1, 1, 10, 100, 1000
    ]);
    expect(powers(1, 20, 5)).toEqual([1, 10, 2, 20, 5].sort((a, b) => a - b));
  });

  it('have room around their values, also around one', () => {
    expect(padded(0, 100, false)).toEqual([-5, 105]);
    expect(padded(2, 2, false)[0]).toBeLessThan(2);
    expect(padded(null, null, false)).toEqual([0, 1]);
    const [low, high] = padded(-1.7e308, 1.7e308, false);
    expect(Number.isFinite(high - low)).toBe(true);
  });

  it.each([
    ['huge', [1e299, 1e300, 5e300]],
    ['tiny', [1e-301, 5e-300]],
    ['both', [-1.7e308, 1.7e308]],
    ['narrow', [1e9, 1e9 + 1e-6]],
    ['one', [1e300]]
  ])('draw %s values within a size that a canvas knows', (_, y) => {
    const lines = linesOf([curve({ y })], ONE, PLAIN);
    const scale = yScaleOf(lines, false);
    const places = y.map(scale.to);
    const [low, high] = yRange(
      scale,
      Math.min(...places),
      Math.max(...places),
      null,
      null
    );
    for (const place of [low, high, ...places]) {
      expect(Math.abs(place)).toBeLessThan(1e13);
    }
    expect(high).toBeGreaterThan(low);
    const labels = yLabels(scale, yMarks(scale, low, high, 5));
    expect(labels.length).toBeGreaterThan(0);
    expect(labels.join()).not.toContain('NaN');
  });
});

describe('lines', () => {
  it('with x values of their own are put on one axis, without inventing points', () => {
    const lines = linesOf(
      [
        curve({ x: [0, 2], y: [1, null] }),
        curve({ run: 'r2', x: [1, 2], y: [3, 4] })
      ],
      [...ONE, { key: 'r2', label: 'two', index: 1 }],
      PLAIN
    );
    const { x, columns } = aligned(lines);
    expect(x).toEqual([0, 1, 2]);
    expect(columns).toEqual([
      [1, undefined, null],
      [undefined, 3, 4]
    ]);
    expect(lines[0]!.bad).toEqual([2]);
  });

  it('have no place for zero and less on a log axis', () => {
    const [line] = linesOf([curve({ y: [-1, 0, 2] })], ONE, {
      ...PLAIN,
      isLog: true
    });
    expect(line!.y).toEqual([null, null, 2]);
    // They are numbers all the same.
    expect(line!.bad).toEqual([]);
  });

  it('show the range that a point stands for only where points were thinned out', () => {
    const [whole] = linesOf([curve()], ONE, PLAIN);
    const [thin] = linesOf([curve({ total: 100_000 })], ONE, PLAIN);
    expect(whole!.min).toBeNull();
    expect(thin!.min).not.toBeNull();
  });

  it('are left out where the run has no such metric', () => {
    expect(linesOf([curve({ run: 'other' })], ONE, PLAIN)).toEqual([]);
  });

  it('are told apart by forty pairs of colour and dashes', () => {
    const looks = Array.from({ length: 40 }, (_, index) =>
      JSON.stringify(lookOf(index, false))
    );
    expect(new Set(looks).size).toBe(40);
  });

  it('are found by the nearest point', () => {
    expect(nearest([], 3)).toBe(-1);
    expect(nearest([0, 10, 20], 14)).toBe(1);
    expect(nearest([0, 10, 20], 99)).toBe(2);
  });
});

describe('points that come in', () => {
  const news = (step: number[], y: (number | null)[], time?: number[]) => ({
    run: 'r1',
    metric: 'loss',
    x: step,
    time_ms: time ?? step.map(one => 1000 + one * 10),
    y
  });

  it('continue a curve, and those that are known already do not', () => {
    const before = curve();
    const after = appended(before, news([2, 3], [1, null]), 'step', null);
    expect(after.x).toEqual([0, 1, 2, 3]);
    expect(after.y).toEqual([3, 2, 1, null]);
    expect(after.total).toBe(4);
    expect(after.not_finite).toBe(1);
    expect(appended(before, news([1], [9]), 'step', null)).toBe(before);
  });

  it('stand where they belong, also out of order', () => {
    const after = appended(
      curve({ x: [0, 5], y: [1, 5] }),
      news([3], [3], [9000]),
      'step',
      null
    );
    expect(after.x).toEqual([0, 3, 5]);
    expect(after.y).toEqual([1, 3, 5]);
  });

  it('go by the zero that the server has for the time since the start', () => {
    const known = curve({ x: [100, 110], y: [1, 2], time_ms: [1100, 1110] });
    const after = appended(known, news([7], [3], [1500]), 'relative', null);
    expect(after.x).toEqual([100, 110, 500]);
  });
});

describe('groups of metrics', () => {
  it('go by what is before the first slash', () => {
    expect(
      grouped(['loss', 'val/f1', 'train/a/b', 'val/loss', '/odd'])
    ).toEqual([
      ['', ['loss', '/odd']],
      ['train', ['train/a/b']],
      ['val', ['val/f1', 'val/loss']]
    ]);
  });

  it('are searched by words', () => {
    expect(search(['train/loss', 'val/loss', 'lr'], 'VAL lo')).toEqual([
      'val/loss'
    ]);
  });
});

describe('curves', () => {
  function asked(
    answer: (question: ICurveQuestion) => Promise<readonly ICurve[]>
  ) {
    const questions: ICurveQuestion[] = [];
    const api = {
      curves: (question: ICurveQuestion) => {
        questions.push(question);
        return answer(question);
      }
    };
    return { api, questions };
  }
  const all = ({ runs, metrics }: ICurveQuestion) =>
    runs.flatMap(run => metrics.map(metric => curve({ run, metric })));

  it('of 200 metrics are asked for in few questions, what was seen last first', async () => {
    const { api, questions } = asked(async question => all(question));
    const curves = new Curves(api, ['r1']);
    const names = Array.from({ length: 200 }, (_, index) => `m${index}`);
    names.forEach(name => curves.get(name));
    await settled();
    expect(questions.length).toBe(10);
    expect(questions.every(({ metrics }) => metrics.length === 20)).toBe(true);
    expect(questions[0]!.metrics).toContain('m199');
    expect(curves.get('m7').curves).toHaveLength(1);
  });

  it('of fifty runs come one metric at a time', async () => {
    const { api, questions } = asked(async question => all(question));
    const runs = Array.from({ length: 50 }, (_, index) => `r${index}`);
    const curves = new Curves(api, runs);
    curves.get('a');
    curves.get('b');
    await settled();
    expect(questions.map(({ metrics }) => metrics.length)).toEqual([1, 1]);
  });

  it('say why there are none, and stay as they are when a later question fails', async () => {
    let isDown = true;
    const { api } = asked(async question => {
      if (isDown) {
        throw new Error('down');
      }
      return all(question);
    });
    const curves = new Curves(api, ['r1']);
    curves.get('loss');
    await settled();
    expect(curves.get('loss').error).not.toBeNull();
    isDown = false;
    curves.reload('loss');
    await settled();
    expect(curves.get('loss').curves).toHaveLength(1);
    isDown = true;
    curves.resync();
    await settled();
    expect(curves.get('loss').curves).toHaveLength(1);
  });

  it('of another axis are asked for anew, and an answer for the old one is not heard', async () => {
    const waiting: (() => void)[] = [];
    const { api, questions } = asked(
      question =>
        new Promise(resolve => waiting.push(() => resolve(all(question))))
    );
    const curves = new Curves(api, ['r1']);
    curves.get('loss');
    await settled();
    curves.axis = 'time';
    curves.get('loss');
    await settled();
    waiting[0]!();
    await settled();
    expect(curves.get('loss').curves).toBeNull();
    waiting[1]!();
    await settled();
    expect(questions.map(({ axis }) => axis)).toEqual(['step', 'time']);
    expect(curves.get('loss').curves).toHaveLength(1);
  });

  it('are asked for anew where too many points have piled up', async () => {
    const { api, questions } = asked(async question => all(question));
    const curves = new Curves(api, ['r1']);
    curves.get('loss');
    await settled();
    const many = Array.from({ length: 3000 }, (_, index) => index + 10);
    curves.append(
      {
        run: 'r1',
        metric: 'loss',
        x: many,
        time_ms: many.map(one => 9000 + one),
        y: many
      },
      null
    );
    await settled();
    expect(questions).toHaveLength(2);
  });
});
