"""The very text that the front end sends to a kernel to see its variables, in a real one: what it says and touches."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from tests.support.processes import REPO

SOURCE = (REPO / "labextension/src/ai/context/look.py.ts").read_text()
LOOK, KEEP = (re.search(rf"const {name} = String.raw`(.*?)`;", SOURCE, re.S)[1] for name in ("LOOK", "KEEP"))  # type: ignore[index]
#: Everything of a session that a look must leave as it is.
STATE = """
(lambda s, sys, kept: repr((
    s.execution_count, list(s.user_ns), s.user_ns.get("_"), s.user_ns.get("__"), s.user_ns["In"], s.user_ns["Out"],
    kept, [setattr(s, f"last_execution_{name}", kept[i]) for i, name in enumerate(("succeeded", "result"))],
    sorted(k for k in vars(s) if "aidp" in k), [getattr(sys, f"last_{name}", None) for name in ("type", "value")],
    sorted(vars(sys.modules["builtins"])), s.history_manager.session_number, len(s.history_manager.input_hist_raw),
)))(*(lambda s: (s, __import__("sys"), vars(s).pop("_aidp_kept")))(__import__("IPython").get_ipython()))
"""


def expression(values: bool) -> str:
    """Return what `lookExpression` in the front end returns."""
    form = re.search(r"return `(\(lambda b.*?)`;", SOURCE)[1]  # type: ignore[index]
    said = f'ns["look"]({values})'
    return form.replace("${source}", json.dumps(LOOK, ensure_ascii=False)).replace("${said}", said)


class Session:
    """A kernel, and what the front end does with it."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client
        self.asked = ""  # the last silent request

    def run(self, code: str, status: str = "ok") -> None:
        """Run a cell of the user's."""
        reply = self.client.execute(code, reply=True, timeout=60)["content"]
        assert reply["status"] == status, reply

    def ask(self, asked: str, code: str = "") -> dict[str, Any]:
        """Send one silent request with an expression and return the reply."""
        self.asked = self.client.execute(
            code,
            silent=True,
            store_history=False,
            user_expressions={"aidp": asked},
            allow_stdin=False,
            stop_on_error=False,
        )
        while True:
            message: dict[str, Any] = self.client.get_shell_msg(timeout=60)
            if message["parent_header"]["msg_id"] == self.asked:
                return dict(message["content"])

    def look(self, *, values: bool = False) -> dict[str, dict[str, Any]]:
        """Look, and return the variables by name, read as the front end reads them."""
        answer = self.ask(expression(values), KEEP)["user_expressions"]["aidp"]
        assert answer["status"] == "ok", answer
        text = answer["data"]["text/plain"]
        assert text.isascii()
        assert text == repr(ast.literal_eval(text))
        variables = json.loads(re.sub(r"\\([\\'])", r"\1", text[1:-1]))["variables"]
        return {one.pop("name"): one for one in variables}

    def state(self) -> str:
        """Return all that must not change. Reading it keeps and restores as the look does, and is looked at itself."""
        return str(self.ask(STATE, KEEP)["user_expressions"]["aidp"]["data"]["text/plain"])


@pytest.fixture(scope="module")
def _client() -> Iterator[BlockingKernelClient]:
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def session(_client: BlockingKernelClient) -> Session:
    """A session without variables."""
    started = Session(_client)
    started.run("%reset -f")
    return started


def test_names_types_shapes_and_columns(session: Session) -> None:
    session.run(
        "import numpy as np, pandas as pd\n"
        "people = pd.DataFrame({'name': ['Zoe Secretname'], 'age': [7], 'born': pd.to_datetime(['2019-01-01']),"
        " 'kind': pd.Categorical(['hidden category'])})\n"
        "ages = people['age']\n"
        "grid = np.zeros((3, 4), dtype='float32')\n"
        "words = ['alpha', 'beta']\n"
        "key = 'sk-secret'\n"
        "def load(path, /, size=12345, *rest, strict, depth=67890, **more): pass\n"
        "class Model:\n    def __init__(self, width): self.width = width\n"
        "model = Model(3)\n"
        "_private = 1\n"
    )
    seen = session.look()
    assert set(seen) == {"people", "ages", "grid", "words", "key", "load", "Model", "model"}
    people = seen["people"]
    assert (people["type"], people["shape"], people["more_columns"]) == ("pandas.DataFrame", [1, 4], 0)
    assert [one["name"] for one in people["columns"]] == ["name", "age", "born", "kind"]
    assert [one["dtype"] for one in people["columns"]][1:] == ["int64", "datetime64[us]", "category"]
    assert seen["ages"] == {"type": "pandas.Series", "shape": [1], "dtype": "int64"}
    assert seen["grid"] == {"type": "numpy.ndarray", "shape": [3, 4], "dtype": "float32"}
    assert seen["words"] == {"type": "list", "length": 2}
    assert seen["key"] == {"type": "str", "length": 9}
    assert seen["load"]["signature"] == "(path, /, size=…, *rest, strict, depth=…, **more)"
    assert seen["Model"] == {"type": "class", "signature": "(self, width)"}
    assert seen["model"] == {"type": "Model"}
    told = json.dumps(seen)
    for value in ("Secretname", "hidden category", "2019", "alpha", "sk-secret", "12345", "67890"):
        assert value not in told


def test_values_only_where_they_are_allowed(session: Session) -> None:
    session.run(
        "import pandas as pd\n"
        "class Loud:\n    def __repr__(self): raise SystemExit('called')\n    __str__ = __len__ = __repr__\n"
        "df = pd.DataFrame({'a': [10, 20, 30, 40], 'o': [Loud(), 'x', None, 1]})\n"
        "rate, title, long, huge, items = 0.25, 'Ünïted \\'q\\' \\\\ \\n', 'x' * 500, 7 ** 5000, ['secret']\n"
    )
    assert not [one for one in session.look().values() if "value" in one]
    seen = session.look(values=True)
    assert seen["rate"]["value"] == "0.25"
    assert seen["title"]["value"] == json.dumps("Ünïted 'q' \\ \n", ensure_ascii=False)
    assert [name for name in ("long", "huge", "items") if "value" in seen[name]] == []
    assert seen["df"]["value"] == "a\to\n10\t<Loud>\n20\tx\n30\tNone"


@pytest.mark.parametrize("ending", ["1 + 1", "", "1 / 0"])
def test_nothing_in_the_session_changes(session: Session, ending: str) -> None:
    session.run("import pandas as pd; df = pd.DataFrame({'a': [1]}); 41")
    if ending:
        session.run(ending, "error" if ending == "1 / 0" else "ok")
    before = session.state()
    assert f"{ending!r}"[1:-1] in before
    assert session.state() == before
    session.look()
    session.look(values=True)
    assert session.state() == before


def test_no_hook_of_a_cell_runs(session: Session) -> None:
    session.run(
        "heard = []\n"
        "for name in ('pre_run_cell', 'post_run_cell'):\n"
        "    get_ipython().events.register(name, lambda *_, name=name: heard.append(name))\n"
    )
    session.run("heard.clear()")
    session.look()
    answer = session.ask("str(heard)")["user_expressions"]["aidp"]["data"]["text/plain"]
    assert answer == repr("['post_run_cell']")  # of the cell that cleared the list


def test_nothing_is_shown_or_counted(session: Session) -> None:
    session.run("x = 1")
    session.look()
    kinds: list[str] = []
    while "idle" not in kinds:
        message = session.client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") == session.asked:
            kinds.append(message["content"].get("execution_state", message["msg_type"]))
    assert kinds == ["busy", "idle"]


def test_the_users_code_is_not_called(session: Session) -> None:
    session.run(
        "import sys, types, pandas as pd\n"
        "called = []\n"
        "class Meta(type):\n"
        "    def __getattribute__(cls, name): called.append('meta ' + name); return type.__getattribute__(cls, name)\n"
        "    def __len__(cls): called.append('len'); return 1\n"
        "class Trap(metaclass=Meta):\n"
        "    def __getattribute__(self, name): called.append(name); return object.__getattribute__(self, name)\n"
        "    def __repr__(self): called.append('repr'); return ''\n"
        "    __str__ = __len__ = __hash__ = __eq__ = __bool__ = __repr__\n"
        "    shape = property(lambda self: called.append('shape'))\n"
        "class Frame(pd.DataFrame):\n    shape = property(lambda self: called.append('frame'))\n"
        "class List(list):\n    def __len__(self): called.append('list'); return 5\n"
        "class DataFrame:\n    shape = property(lambda self: called.append('named so'))\n"
        "DataFrame.__module__ = 'pandas'\n"
        "class Name:\n    def __str__(self): called.append('column'); return 'c'\n    __repr__ = __str__\n"
        "trap, frame, items, named = Trap(), Frame({'a': [1]}), List(), DataFrame()\n"
        "columns = pd.DataFrame([[1]], columns=pd.Index([Name()], dtype=object))\n"
    )
    session.run("called.clear()")
    seen = session.look(values=True)
    assert session.ask("len(called)")["user_expressions"]["aidp"]["data"]["text/plain"] == "0"
    assert seen["trap"] == {"type": "Trap"}
    assert seen["frame"] == {"type": "Frame"}
    assert seen["items"] == {"type": "List"}
    assert seen["named"] == {"type": "pandas.DataFrame"}
    assert seen["columns"]["columns"] == [{"name": "<Name>", "dtype": "int64"}]


def test_the_users_names_may_hide_pythons(session: Session) -> None:
    session.run("x = [1]\nlist = dict = type = len = str = exec = eval = get_ipython = json = 'mine'")
    try:
        assert session.look()["x"] == {"type": "list", "length": 1}
    finally:
        session.run("del list, dict, type, len, str, exec, eval, get_ipython, json")


def test_it_is_bounded(session: Session) -> None:
    session.run(
        "import numpy as np, pandas as pd\n"
        "for i in range(1000): globals()[f'v{i}'] = i\n"
        "wide = pd.DataFrame(np.zeros((2, 5000)), columns=[f'{\"c\" * 500}{i}' for i in range(5000)])\n"
        "long = pd.DataFrame({'a': np.zeros(20_000_000), 'b': range(20_000_000)})\n"
    )
    seen = session.look(values=True)
    assert len(seen) == 200
    assert (len(seen["wide"]["columns"]), seen["wide"]["more_columns"]) == (60, 4940)
    assert max(len(one["name"]) for one in seen["wide"]["columns"]) == 80
    assert seen["long"]["shape"] == [20_000_000, 2]
    assert seen["v999"] == {"type": "int", "value": "999"}


def test_what_takes_long_does_not_hide_what_is_quick(session: Session) -> None:
    session.run(
        "import numpy as np, pandas as pd\n"
        "rate, called = 0.5, lambda x, *, y=1: x\n"
        "for i in range(190): globals()[f'f{i}'] = pd.DataFrame(np.zeros((3, 60)))\n"
    )
    seen = session.look(values=True)
    assert seen["rate"] == {"type": "float", "value": "0.5"}
    assert seen["called"] == {"type": "function", "signature": "(x, *, y=…)"}
    assert seen["f189"]["shape"] == [3, 60]  # the newest come first
