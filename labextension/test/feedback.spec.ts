import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Feedback } from '../src/ai/feedback';
import type { IFeedback } from '../src/ai/wire';

function setup(arrives = true) {
  const told: IFeedback[] = [];
  const feedback = new Feedback({
    feedback: report => {
      told.push(report);
      return arrives ? Promise.resolve() : Promise.reject(new Error('lost'));
    }
  });
  return { feedback, told };
}

describe('Feedback', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('counts by model and waits for a quiet moment', () => {
    const { feedback, told } = setup();
    feedback.add('ollama/qwen', 'complete', 'accepted');
    vi.advanceTimersByTime(4000);
    feedback.add('ollama/qwen', 'complete', 'accepted');
    feedback.add('ollama/qwen', 'complete', 'rejected');
    feedback.add('openai/gpt', 'complete', 'rejected');
    vi.advanceTimersByTime(4000);
    expect(told).toEqual([]);
    vi.advanceTimersByTime(2000);
    expect(told).toEqual([
      { route: 'ollama/qwen', task: 'complete', accepted: 2, rejected: 1 },
      { route: 'openai/gpt', task: 'complete', accepted: 0, rejected: 1 }
    ]);
  });

  it('tells each count once', async () => {
    const { feedback, told } = setup();
    feedback.add('ollama/qwen', 'complete', 'accepted');
    await feedback.send();
    await feedback.send();
    vi.advanceTimersByTime(60_000);
    expect(told).toHaveLength(1);
  });

  it('disturbs nobody when it does not arrive', async () => {
    const { feedback } = setup(false);
    feedback.add('ollama/qwen', 'complete', 'accepted');
    await expect(feedback.send()).resolves.toBeUndefined();
  });

  it('has nothing to say of a suggestion that no model is known for', async () => {
    const { feedback, told } = setup();
    feedback.add('', 'complete', 'accepted');
    await feedback.send();
    expect(told).toEqual([]);
  });
});
