"""Which cells must run again for the same result, and in which order."""

from __future__ import annotations

import random

import pytest

from aidp_ext.experiments.lineage.log import CellRun, seed_of
from aidp_ext.experiments.lineage.replay import cells_of, replay


def ran(*cells: tuple[str, str] | tuple[str, str, bool]) -> list[CellRun]:
    return [CellRun(n, cell[0], cell[1], cell[2] if len(cell) > 2 else True) for n, cell in enumerate(cells, 1)]


def chosen(cells: list[CellRun], count: int | None = None) -> list[str]:
    return [cell.source for cell in replay(cells, count or cells[-1].count).cells]


def test_what_ran_later_and_what_failed_is_left_out_and_the_order_is_that_of_execution() -> None:
    cells = ran(("b", "y = 2"), ("a", "x = 1"), ("c", "1 / 0", False), ("d", "train(x, y)"), ("e", "later()"))
    assert chosen(cells, 4) == ["y = 2", "x = 1", "train(x, y)"]
    assert replay(cells, 4).notes == ("one execution that ended with an error is left out",)


def test_the_runs_own_cell_is_there_although_it_failed() -> None:
    assert chosen(ran(("a", "x = 1"), ("b", "fit(x); 1 / 0", False))) == ["x = 1", "fit(x); 1 / 0"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        # said twice, and nothing came between
        (
            [("a", "import os"), ("b", "x = os.f()"), ("a", "import os"), ("c", "g(x)")],
            ["import os", "x = os.f()", "g(x)"],
        ),
        # something came between that changes the name
        ([("a", "x = 1"), ("b", "x = x + 1"), ("a", "x = 1"), ("c", "g(x)")], ["x = 1", "x = x + 1", "x = 1", "g(x)"]),
        # each try begins anew, with a seed of its own
        (
            [("a", "import torch"), ("t", "torch.manual_seed(1)\nm = N(1)"), ("t", "torch.manual_seed(1)\nm = N(2)")],
            ["import torch", "torch.manual_seed(1)\nm = N(2)"],
        ),
        # no seed: the first try moved the random numbers
        ([("t", "m = N(1)"), ("t", "m = N(2)")], ["m = N(1)", "m = N(2)"]),
        # the model goes on where it was
        ([("a", "m = N()"), ("t", "seed(1)\nm.fit(x)"), ("t", "seed(1)\nm.fit(x)")], None),
        ([("a", "m = N()"), ("t", "seed(1)\nh = train(m)"), ("t", "seed(1)\nh = train(m)")], None),
        ([("t", "seed(1)\nn = n + 1"), ("t", "seed(1)\nn = n + 1")], None),
        ([("t", "seed(1)\nd['x'] = 1\nv = 1"), ("t", "seed(1)\nv = 1\nd['x'] = 2")], None),
        ([("t", "seed(1)\ndf.drop(c, inplace=True)"), ("t", "seed(1)\nv = 1")], None),
        # another name for it
        ([("t", "seed(1)\na = items\na.append(1)"), ("t", "seed(1)\na = items\na.append(1)")], None),
        ([("t", "seed(1)\nfor row in rows:\n    row.add(1)"), ("t", "seed(1)\nrow = 1")], None),
        ([("t", "seed(1)\nv = [f(row) for row in rows]"), ("t", "seed(1)\nv = 1")], None),
        # what it made was used before it was made anew
        ([("t", "seed(1)\nm = N(1)"), ("u", "best = m"), ("t", "seed(1)\nm = N(2)")], None),
        # nobody can tell what a command did
        ([("a", "!pip install x"), ("a", "!pip install x")], None),
        ([("a", "%run other.py"), ("a", "%run other.py")], None),
        # the later one does not make all that the earlier one made
        ([("t", "seed(1)\na = 1\nb = 2"), ("t", "seed(1)\na = 1")], None),
        # a loop and a block of their own are seen through
        (
            [
                ("t", f"seed({n})\nwith run() as r:\n    v = sum(i * i for i in d)\n    log(v)\nprint(r)")
                for n in (1, 2)
            ],
            ["seed(2)\nwith run() as r:\n    v = sum(i * i for i in d)\n    log(v)\nprint(r)"],
        ),
    ],
)
def test_a_cell_that_ran_again_is_taken_once_only_where_that_is_sure(
    cells: list[tuple[str, str]], expected: list[str] | None
) -> None:
    assert chosen(ran(*cells)) == (expected or [source for _, source in cells])


def test_cells_without_an_id_are_all_kept() -> None:
    cells = [CellRun(n, None, "seed(1)\nm = N()", True) for n in (1, 2)]
    assert len(chosen(cells)) == 2


#: Cells that change little when they fail, since a cell that failed is left out.
POOL = """
x = 1
---
y = 2
---
def f(v):
    return v + x
---
import math
---
z = f(y)
---
x = x + 1
---
items = []
---
items.append(x)
---
import random
random.seed(3)
r = random.random()
---
r2 = r + 1
---
x += 1
---
for x in [1, 2]:
    y = x
---
if x > 2:
    y = 5
---
y, x = x, y
---
del z
---
w = [x for x in items]
---
RATE = 2
---
RATE = 3
---
def g():
    return RATE
---
u = g()
---
def h():
    global k
    k = 1
---
k = 0
---
h()
---
def add():
    items.append(2)
---
add()
import random
random.seed(4)
q = 1
---
class Net:
    def __init__(self):
        self.rate = RATE
    def fit(self):
        self.rate += 1
        return self.rate
---
net = Net()
---
a = items
a.append(3)
---
import random
random.seed(1)
for b in [items]:
    b.append(4)
---
v = net.fit()
"""


def test_replaying_reaches_the_same_state() -> None:
    """Whatever is executed, what is chosen of it leaves the same variables behind."""
    pool = POOL.strip().split("\n---\n")
    dice = random.Random(7)
    for _ in range(600):
        names: dict[str, object] = {}
        cells: list[CellRun] = []
        for count in range(1, 18):
            place = dice.randrange(len(pool))
            try:
                exec(pool[place], names)
                ok = True
            except Exception:
                ok = False  # half of it may have happened: such a cell changes nothing in this pool
            cells.append(CellRun(count, f"c{place // 2}", pool[place], ok))
        again: dict[str, object] = {}
        if cells[-1].ok is False:
            continue
        for source in chosen(cells):
            exec(source, again)
        assert _plain(again) == _plain(names), [cell.source for cell in cells if cell.ok]


def _plain(names: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in names.items() if isinstance(value, int | float | list)}


def test_what_is_no_list_of_cells_is_refused() -> None:
    assert cells_of([{"count": 1, "cell_id": None, "source": "x", "ok": None}]) == [CellRun(1, None, "x", None)]
    for wrong in ({}, [1], [{"count": "1", "source": ""}], [{"count": 1}], None):
        with pytest.raises(ValueError, match="no"):
            cells_of(wrong)


# ---- seeds


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["random.seed(1)"], "1"),
        (["SEED = 42", "import torch\ntorch.manual_seed(SEED)\nnp.random.seed(SEED)"], "42"),
        (["random.seed(1); torch.manual_seed(2)"], "1, 2"),
        (["random.seed(1)", "random.seed(9)"], "9"),
        (["rng = np.random.default_rng(5)"], "5"),
        (["train_test_split(X, random_state=0)"], "0"),
        (["pl.seed_everything(3, workers=True)"], "3"),
        (["random.seed()", "seed(x)", "seed = None", "seed(True)"], None),
        (["%%time\nrandom.seed(4)"], "4"),
        (["this is no seed("], None),
    ],
)
def test_seeds_are_seen_in_the_code(sources: list[str], expected: str | None) -> None:
    assert seed_of(sources) == expected
