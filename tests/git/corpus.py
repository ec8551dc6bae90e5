"""Planted secrets of many kinds in all the places of a notebook, and what looks like secrets and is none.

Nothing here is a key: all are put together from a form and seeded random characters when they are asked for.
"""

from __future__ import annotations

import base64
import functools
import json
import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aidp_ext.git.models import Finding
from tests.git.staging import code, display, error, markdown, notebook, stream, written

_LOWER = "abcdefghijklmnopqrstuvwxyz"
_UPPER = _LOWER.upper()
_DIGITS = "0123456789"
_WORD = _LOWER + _UPPER + _DIGITS
SEED = 20


def _some(chance: random.Random, letters: str, count: int) -> str:
    # one digit at least, as a real one of this length has
    return "".join(chance.choices(letters, k=count - 1)) + chance.choice([c for c in letters if c.isdigit()] or letters)


def _url_part(chance: random.Random, said: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


def _pem(chance: random.Random) -> str:
    body = base64.b64encode(chance.randbytes(600)).decode()
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    edge = "-----{} RSA " + "PRIVATE" + " KEY-----"
    return f"{edge.format('BEGIN')}\n{lines}\n{edge.format('END')}"


#: Each kind: how one is made. The forms are put together so that no scanner takes this file for what it makes.
KINDS: Mapping[str, Callable[[random.Random], str]] = {
    "AWS access key": lambda c: "AK" + "IA" + _some(c, _UPPER + "234567", 16),
    "AWS secret key": lambda c: "aws_secret_access" + f'_key = "{_some(c, _WORD + "/+", 40)}"',
    "GitHub token": lambda c: "gh" + "p_" + _some(c, _WORD, 36),
    "GitHub token (fine-grained)": lambda c: "github" + "_pat_" + _some(c, _WORD, 22) + "_" + _some(c, _WORD, 59),
    "GitLab token": lambda c: "gl" + "pat-" + _some(c, _WORD, 20),
    "OpenAI key": lambda c: "sk" + "-proj-" + _some(c, _WORD, 48),
    "Anthropic key": lambda c: "sk" + "-ant-" + "api03-" + _some(c, _WORD, 90),
    "Hugging Face token": lambda c: "hf" + "_" + _some(c, _LOWER + _UPPER + _DIGITS, 34),
    "Google key": lambda c: "AI" + "za" + _some(c, _WORD, 35),
    "Slack token": lambda c: "xo" + "xb-" + _some(c, _DIGITS, 12) + "-" + _some(c, _WORD, 24),
    "Stripe key": lambda c: "sk" + "_live_" + _some(c, _WORD, 24),
    "Databricks token": lambda c: "da" + "pi" + _some(c, "abcdef" + _DIGITS, 32),
    "JSON web token": lambda c: ".".join(
        (_url_part(c, {"alg": "HS256"}), _url_part(c, {"sub": _some(c, _WORD, 12), "admin": "1"}), _some(c, _WORD, 43))
    ),
    "private key": _pem,
    "password by its name": lambda c: "db_pass" + f'word = "{_some(c, _WORD, 14)}!"',
    "password in an address": lambda c: f"postgresql://ana:{_some(c, _WORD, 14)}" + "@db.example.org/shop",
}


@dataclass(frozen=True)
class Planted:
    """A file with one secret in it."""

    path: str
    content: bytes
    kind: str
    place: str


def _quoted(secret: str) -> str:
    return secret if '"' in secret else f'key = """{secret}"""'


def _said(secret: str) -> str:
    return f"the answer was\n{secret}\nand no more"


#: Where a secret may be: a file with it there.
PLACES: Mapping[str, Callable[[str], dict[str, Any] | str]] = {
    "source": lambda s: notebook(code(f"import os\n{_quoted(s)}\n")),
    "output (text)": lambda s: notebook(code("show()", stream(_said(s)))),
    "output (long text)": lambda s: notebook(code("train()", stream(f"{_log(3000)}\n{_said(s)}\n{_log(3000)}"))),
    "output (HTML)": lambda s: notebook(code("show()", display(text_html=f"<table><tr><td>{s}</td></tr></table>"))),
    "output (JSON)": lambda s: notebook(code("show()", display(application_json={"rows": [{"said": _said(s)}]}))),
    "output (error)": lambda s: notebook(code("show()", error(f"bad {s}", "\x1b[0;31mValueError\x1b[0m", _said(s)))),
    "markdown": lambda s: notebook(markdown(f"# Set up\nUse {s} for it.")),
    "metadata of a cell": lambda s: notebook(code("1", note=_said(s))),
    "metadata": lambda s: notebook(code("1"), note={"said": [_said(s)]}),
    "code": lambda s: f"import os\n{_quoted(s)}\n",
}


@functools.cache
def _log(lines: int) -> str:
    chance = random.Random(lines)
    said = (f"epoch {n}/{lines} - loss: {chance.random():.6f} - accuracy: {chance.random():.4f}" for n in range(lines))
    return "\n".join(said)


def planted(seed: int = SEED) -> Iterable[Planted]:
    """Yield every kind in every place."""
    chance = random.Random(seed)
    for number, (kind, make) in enumerate(KINDS.items()):
        for at, (name, with_it) in enumerate(PLACES.items()):
            content = with_it(make(chance))
            path = f"planted/{number:02}-{at:02}.{'py' if isinstance(content, str) else 'ipynb'}"
            yield Planted(path, _bytes(content), kind, name)


# ---- what is no secret


def innocent(seed: int = SEED) -> dict[str, dict[str, bytes]]:
    """Return files without any secret, by what they hold and their path."""
    chance = random.Random(seed + 1)

    def hexes(count: int, of: int) -> list[str]:
        return [chance.randbytes(count // 2).hex() for _ in range(of)]

    def b64(count: int) -> str:
        return base64.b64encode(chance.randbytes(count)).decode()

    png = [b"\x89PNG\r\n\x1a\n" + chance.randbytes(60_000) for _ in range(20)]
    pictures = [base64.encodebytes(one).decode() for one in png]
    plain = [base64.b64encode(one).decode() for one in png]
    ids = [str(uuid.UUID(bytes=chance.randbytes(16))) for _ in range(200)]
    files: dict[str, dict[str, Any]] = {
        "pictures in outputs": {
            f"png-{n}.ipynb": notebook(code("plot()", display(image_png=pictures[n], text_plain="<Figure>")))
            for n in range(20)
        },
        "pictures in HTML and markdown": {
            "html.ipynb": notebook(
                code("plot()", *(display(text_html=f'<img src="data:image/png;base64,{one}">') for one in plain[:10]))
            ),
            "readme.md": "\n".join(f"![picture](data:image/png;base64,{one})" for one in plain[10:]),
            "attached.ipynb": notebook(
                {**markdown("![p](attachment:p.png)"), "attachments": {"p.png": {"image/png": plain[0]}}}
            ),
        },
        "base64 that was printed": {
            "b64.ipynb": notebook(code("print(b)", *(stream(b64(30_000)) for _ in range(10)))),
            "wrapped.ipynb": notebook(code("print(b)", *(stream(one) for one in pictures[:5]))),
        },
        "git hashes": {
            "log.ipynb": notebook(
                code(f'model_rev = "{hexes(40, 1)[0]}"\n', stream("\n".join(f"{h} fix it" for h in hexes(40, 300)))),
                code("revs", display(text_plain=repr(hexes(40, 50)))),
            ),
            "pins.py": "\n".join(f'PIN_{n} = "{h}"' for n, h in enumerate(hexes(40, 30))),
            "history.md": "\n".join(f"- {h}: changed" for h in hexes(40, 50)),
        },
        "UUIDs": {
            "ids.ipynb": notebook(
                code(f"ids = {ids!r}\n", stream("\n".join(ids)), display(application_json={"ids": ids}))
            ),
            "ids.py": f"IDS = {ids!r}\n",
            "ids.csv": "id,value\n" + "\n".join(f'"{one}",1' for one in ids),
        },
        "cell ids": {
            "cells.ipynb": notebook(*(code("1", id=one) for one in hexes(32, 100)), *(code("2", id=i) for i in ids)),
        },
        "lock files": {
            "poetry.lock": "\n".join(f'    {{file = "p.whl", hash = "sha256:{h}"}},' for h in hexes(64, 300)),
            "uv.lock": "\n".join(f'wheels = [{{ hash = "sha256:{h}", size = 1 }}]' for h in hexes(64, 300)),
            "package-lock.json": json.dumps(
                {"packages": {f"p{n}": {"integrity": f"sha512-{b64(64)}"} for n in range(300)}}, indent=2
            ),
            "requirements.txt": "\n".join(f"p{n}==1.0 --hash=sha256:{h}" for n, h in enumerate(hexes(64, 100))),
            "go.sum": "\n".join(f"example.org/m{n} v1.0.0 h1:{b64(32)}" for n in range(100)),
            "environment.yml": "\n".join(f"  - p{n}=1.0=h{h}_0" for n, h in enumerate(hexes(8, 100))),
        },
        "minified JavaScript": {
            "app.min.js": _minified(chance),
            "bundle.js": _minified(chance),
            "plotly.ipynb": notebook(code("fig", display(text_html=f"<script>{_minified(chance)}</script>"))),
            "app.js.map": json.dumps({"mappings": ";".join(b64(6).rstrip("=") for _ in range(5000))}),
        },
        "widgets and charts": {
            "widgets.ipynb": notebook(
                code("w", display(**{_VIEW: {"model_id": hexes(32, 1)[0]}})), widgets=_widgets(hexes(32, 200))
            ),
            "plotly-data.ipynb": notebook(code("f", *(_chart(b64(n)) for n in range(24, 200, 8)))),
        },
        "tables of hashes": {
            "frame.ipynb": notebook(
                code("df", display(
                    text_plain="\n".join(f"{n} {h} {chance.random()}" for n, h in enumerate(hexes(64, 200))),
                    text_html="".join(f"<tr><td>{h}</td></tr>" for h in hexes(32, 200)),
                ))
            ),
            "rows.jsonl": "\n".join(json.dumps({"sha256": h, "ref": b64(18)}) for h in hexes(64, 200)),
        },
        "code about secrets": {"settings.py": _ABOUT, "about.ipynb": notebook(code(_ABOUT), markdown(_ABOUT_WORDS))},
    }  # fmt: skip
    return {what: {f"innocent/{p}": _bytes(c) for p, c in those.items()} for what, those in files.items()}


_ABOUT = """
import os, getpass
token = os.environ["API_TOKEN"]
password = getpass.getpass("Password: ")
api_key = config.get("api_key")
secret_name = "prod/db"
headers = {"Authorization": f"Bearer {token}"}
tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
max_tokens = 4096
key = lambda row: row["value"]
url = "postgresql://{user}:{password}@{host}/db"
"""
_ABOUT_WORDS = "Set `OPENAI_API_KEY` to your key. The password is asked for; `sk-...` is what it looks like."


_VIEW = "application_vnd.jupyter.widget-view+json"


def _widgets(ids: list[str]) -> dict[str, Any]:
    state = {one: {"model_name": "LayoutModel", "state": {"layout": f"IPY_MODEL_{one}"}} for one in ids}
    return {"application/vnd.jupyter.widget-state+json": {"state": state}}


def _chart(values: str) -> dict[str, Any]:
    return display(**{"application_vnd.plotly.v1+json": {"data": [{"y": {"bdata": values, "dtype": "f8"}}]}})


def _minified(chance: random.Random) -> str:
    names = ["".join(chance.choices(_LOWER + _UPPER, k=chance.randint(1, 3))) for _ in range(50)]
    said = ["password", "token", "apiKey", "secret", "auth"]

    def part(number: int) -> str:
        a, b, c = chance.choices(names, k=3)
        key, word = chance.choices(said, k=2)
        call = f'function {a}(e,t){{return e.{b}?{c}("{key}"):t[{number}]}}'
        return f'{call}var {a}={{{key}:"input-{word}",{b}:"{_some(chance, _WORD, 28)}"}};'

    return "".join(map(part, range(1500)))


def _bytes(content: str | dict[str, Any]) -> bytes:
    return content.encode() if isinstance(content, str) else written(content)


# ---- how well it is done


@dataclass(frozen=True)
class Figures:
    """Recall by kind and by place, and false alarms by what gave them: how many, and in how many bytes."""

    kinds: Mapping[str, tuple[int, int]]
    places: Mapping[str, tuple[int, int]]
    missed: tuple[str, ...]
    alarms: Mapping[str, tuple[int, int]]
    messages: tuple[str, ...]

    def table(self) -> str:
        """Return them as Markdown."""
        lines: list[str] = []
        for what, counts in (("kind", self.kinds), ("place", self.places)):
            lines += [f"| {what} | found | of |", "|---|--:|--:|"]
            lines += [*(f"| {name} | {found} | {of} |" for name, (found, of) in counts.items()), ""]
        lines += ["| no secret | false alarms | kB looked at |", "|---|--:|--:|"]
        lines += [f"| {k} | {n} | {size // 1000:,} |" for k, (n, size) in self.alarms.items()]
        return "\n".join(lines)


def figures(findings: Iterable[Finding]) -> Figures:
    """Return how well the findings fit what was planted: a secret counts where its own file has a finding."""
    by_path: dict[str, list[Finding]] = {}
    for one in findings:
        by_path.setdefault(one.path, []).append(one)
    kinds: dict[str, tuple[int, int]] = {}
    places: dict[str, tuple[int, int]] = {}
    missed: list[str] = []
    for plant in planted():
        is_found = plant.path in by_path
        for counts, name in ((kinds, plant.kind), (places, plant.place)):
            found, of = counts.get(name, (0, 0))
            counts[name] = (found + is_found, of + 1)
        if not is_found:
            missed.append(f"{plant.kind} in {plant.place}")
    alarms: dict[str, tuple[int, int]] = {}
    messages: list[str] = []
    for what, files in innocent().items():
        wrong = [one for path in files for one in by_path.get(path, ())]
        alarms[what] = (len(wrong), sum(map(len, files.values())))
        messages += [f"{one.path}: {one.message}" for one in wrong]
    return Figures(kinds, places, tuple(missed), alarms, tuple(messages))
