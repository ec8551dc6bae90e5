"""The measures of bench/assist: they decide whether our context earns its place."""

from __future__ import annotations

import pytest

from bench.assist.corpus import identifiers, places
from bench.assist.metrics import edit_similarity, interval, sign_test
from bench.assist.postprocessing import tidied


@pytest.mark.parametrize(
    ("said", "truth", "expected"),
    [
        ("", "", 1.0),
        ("abc", "abc", 1.0),
        ("abc", "", 0.0),
        ("abc", "xyz", 0.0),
        # the example of rapidfuzz's documentation: 96.55 %
        ("this is a test", "this is a test!", 28 / 29),
        ("df.mean()", "df.median()", 2 * 9 / 20),
    ],
)
def test_the_edit_similarity_is_that_of_rapidfuzz(said: str, truth: str, expected: float) -> None:
    assert edit_similarity(said, truth) == pytest.approx(expected)
    assert edit_similarity(truth, said) == pytest.approx(expected)


def test_the_interval_holds_zero_only_where_chance_could_make_the_difference() -> None:
    low, high = interval({str(n): [5.0 + n % 3, 4.0] for n in range(12)})
    assert 4.0 < low < high < 7.0
    low, high = interval({str(n): [(-1.0) ** n] for n in range(12)})
    assert low < 0 < high


def test_the_sign_test_is_exact() -> None:
    assert sign_test(0, 0) == 1.0
    assert sign_test(5, 0) == pytest.approx(2 / 2**5)
    assert sign_test(3, 1) == pytest.approx(10 / 2**4)
    assert sign_test(2, 2) == 1.0


def test_each_place_is_a_line_taken_out_of_its_cell() -> None:
    found = places(4)
    assert len({place.notebook for place in found}) >= 12
    assert len(found) == 4 * len({place.notebook for place in found})
    for place in found:
        cell = place.cells[-1]
        assert place.prefix + place.truth + place.suffix == cell.source
        assert "\n" not in place.truth
        assert place.truth.strip()
        assert place.truth not in place.source.split("\n"), "the line is not told"
        assert place.in_line == bool(place.prefix.rsplit("\n", 1)[-1].strip())


def test_names_are_found_in_a_piece_of_code() -> None:
    assert identifiers("mean(values[") == {"mean", "values"}
    assert identifiers("for x in range(3):") == {"x", "range"}
    assert identifiers("'a text' + 1") == set()


def test_the_front_ends_own_post_processor_is_asked() -> None:
    answers = [("```python\nprint(x)\n```", "x = 1\n", ""), (" 5", "x = ", "")]
    assert tidied(answers) == ["print(x)", "5"]
