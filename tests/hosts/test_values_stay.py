"""A dataframe's values are in no request to a model unless the user allows them; its schema is, where that is allowed.

Seen on the wire, in a real Jupyter server: for each action, for the chat and for the context of a suggestion.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aidp_ext.ai.actions.wire import Action
from aidp_ext.ai.models import Task
from tests.support.chat import chatting
from tests.support.jupyter import Server, jupyter_server
from tests.support.scripted import Scripted, scripted

VALUE = "Quenneville"  # stands in each place where a value can
ROWS = f"     family  fare\n0  {VALUE}  7.25\n1    Anders  8.05"
OUTPUTS = [
    {"kind": "table", "text": ROWS},
    {"kind": "text", "text": f"The first rows:\n{ROWS}"},
    {"kind": "text", "text": f"families: ['{VALUE}', 'Anders']"},
    {"kind": "text", "text": f"family,fare\n{VALUE},7.25\nAnders,8.05\n"},
    {"kind": "image", "text": f"image/png: {ROWS}"},
    {"kind": "text", "text": f"0 {VALUE} 7.25\n1 Anders 8.05"},
    {"kind": "error", "text": f"Cell In[1], line 1\n----> 1 check(df)\n\nValueError: it differs:\n{ROWS}"},
    {"kind": "error", "text": f"Cell In[1], line 1\n----> 1 check(df)\n\nValueError: not a float: '{VALUE}'"},
    {"kind": "error", "text": f"Cell In[1], line 1\n----> 1 check(df)\n\nKeyError: '{VALUE}'"},
]
VARIABLES = [
    {
        "name": "df",
        "type": "DataFrame",
        "shape": [2, 2],
        "columns": [
            {"name": "family_column", "dtype": f"Enum(categories=['{VALUE}'])"},
            {"name": "fare", "dtype": "float64"},
        ],
        "value": ROWS,
    },
    {"name": "check", "type": "function", "signature": f"(frame, but='{VALUE}')", "value": VALUE},
    {"name": "first", "type": "str", "value": VALUE},
]


def notebook_file() -> str:
    data = {"text/html": f"<table><td>{VALUE}</td></table>", "text/plain": ROWS}
    shown = {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": data}
    said = {"output_type": "stream", "name": "stdout", "text": [f"[{{'family': '{VALUE}'}}]\n", f"0 {VALUE} 7.25\n"]}
    trace = [f"Cell In[1], line 1\n----> 1 df\n\nKeyError: '{VALUE}'"]
    failed = {"output_type": "error", "ename": "KeyError", "evalue": f"'{VALUE}'", "traceback": trace}
    one = {
        "cell_type": "code",
        "id": "a",
        "source": "df",
        "execution_count": 1,
        "metadata": {},
        "outputs": [shown, said, failed],
    }
    return json.dumps({"cells": [one], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def question(kernel: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    cells = [
        {"id": "a", "source": "df = load()\ndf.head()  # family", "count": 1, "outputs": OUTPUTS},
        {"id": "b", "source": "def check(df):\n    return df.fare.mean()\n\ncheck(df)", "outputs": OUTPUTS, "count": 2},
    ]
    return {
        "document": {"path": "work.ipynb", "cells": cells, "active": "b"},
        "kernel": kernel,
        "open": [
            {"path": "open.csv", "text": f"family,fare\n{VALUE},7.25\n"},
            {"path": "other.ipynb", "text": notebook_file()},
        ],
        "query": "which family has the highest fare in df",
        "mentions": ["cell:a", "df:df"],
        **more,
    }


def kernel(*, allows_values: bool) -> dict[str, Any]:
    return {"variables": VARIABLES, "allows_values": allows_values}


@pytest.fixture(scope="module")
def model() -> Iterator[Scripted]:
    with scripted() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: Scripted) -> Iterator[Server]:
    with jupyter_server(tmp_path_factory.mktemp("values"), {"LOCAL_OPENAI_BASE_URL": model.url}) as running:
        fill(running.root)
        yield running


def fill(root: Path) -> None:
    (root / "families.csv").write_text(f"family,fare\n{VALUE},7.25\nAnders,8.05\n")
    (root / "families.txt").write_text(f"family\tfare\thighest\n{VALUE}\t7.25\t1\nAnders\t8.05\t2\n")
    (root / "other.ipynb").write_text(notebook_file())
    (root / "work.ipynb").write_text(notebook_file())


async def post(server: Server, path: str, body: dict[str, Any]) -> str:
    async with (
        aiohttp.ClientSession(headers=server.headers) as session,
        session.post(f"{server.url}aidp/ai/{path}", json=body) as response,
    ):
        text = await response.text()
        assert response.status == 200, text
        return text


def sent(model: Scripted) -> str:
    """All that the model was sent."""
    asked = model.asked
    assert asked, "the model was asked"
    return json.dumps([one.body for one in asked])


@pytest.mark.parametrize("action", list(Action))
async def test_of_an_action_only_the_schema_is_sent(server: Server, model: Scripted, action: Action) -> None:
    model.forget()
    await post(server, "actions", {"action": action, "context": question(kernel(allows_values=False))})
    assert VALUE not in sent(model)
    assert "family_column" in sent(model)
    model.forget()
    await post(server, "actions", {"action": action, "context": question(None)})
    assert VALUE not in sent(model)
    assert "family_column" not in sent(model)


@pytest.mark.parametrize("task", list(Task))
async def test_of_what_is_told_for_any_task_only_the_schema_is(server: Server, task: Task) -> None:
    said = await post(server, "context", question(kernel(allows_values=False), task=task))
    assert VALUE not in said
    assert "family_column" in said
    assert VALUE not in await post(server, "context", question(None, task=task))
    assert VALUE in await post(server, "context", question(kernel(allows_values=True), task=task))


@pytest.mark.parametrize("allows", [None, False, True], ids=["nothing", "schema", "values"])
async def test_of_a_message_in_the_chat_only_what_is_allowed_is_sent(
    server: Server, model: Scripted, allows: bool | None
) -> None:
    model.forget()
    told = None if allows is None else kernel(allows_values=allows)
    kept = json.loads(await post(server, "context", question(told, task="chat", keep=True)))["id"]
    async with chatting(server, f"values-{allows}.chat") as chat:
        await chat.ask("/explain @df:df and @cell:a", metadata={"aidp": {"context": kept}})
    assert (VALUE in sent(model)) == (allows is True)
    assert ("family_column" in sent(model)) == (allows is not None)


async def test_of_an_attached_notebook_no_values_are_sent(server: Server, model: Scripted) -> None:
    model.forget()
    async with chatting(server, "attached.chat") as chat:
        attachment = {"type": "notebook", "value": "other.ipynb", "cells": [{"id": "a", "input_type": "code"}]}
        await chat.ask("Explain this", attachments=[attachment])
    assert "rows not shown" in sent(model)
    assert VALUE not in sent(model)
