"""How near a suggestion is to what was written, and whether one way of asking is better than another."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

SAMPLES = 10_000


def edit_similarity(said: str, truth: str) -> float:
    """Return 0 (nothing in common) to 1 (equal): twice the longest common subsequence over both lengths.

    It is the edit similarity of CrossCodeEval (arXiv 2310.11248) and RepoBench (arXiv 2306.03091), which take it from
    ``rapidfuzz.fuzz.ratio``: the normalised distance of insertions and deletions.
    """
    if not said and not truth:
        return 1.0
    row = [0] * (len(truth) + 1)
    for character in said:
        diagonal = 0
        for place, other in enumerate(truth, start=1):
            above = row[place]
            row[place] = diagonal + 1 if character == other else max(above, row[place - 1])
            diagonal = above
    return 2 * row[-1] / (len(said) + len(truth))


def interval(differences: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences, by the bootstrap over their groups.

    The lines of one notebook are alike, so notebooks are drawn, not lines (the cluster bootstrap).
    """
    generator = random.Random(0)  # the same interval for the same data
    groups = [(sum(group), len(group)) for group in differences.values()]
    means = []
    for _ in range(SAMPLES):
        drawn = generator.choices(groups, k=len(groups))
        means.append(sum(total for total, _ in drawn) / sum(count for _, count in drawn))
    means.sort()
    return means[int(0.025 * SAMPLES)], means[int(0.975 * SAMPLES)]


def sign_test(better: int, worse: int) -> float:
    """Return the two-sided p value of the exact sign test; ties are left out."""
    count = better + worse
    tail = sum(math.comb(count, k) for k in range(min(better, worse) + 1))
    return min(1.0, 2 * tail / 2**count)
