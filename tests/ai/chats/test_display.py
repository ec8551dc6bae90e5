"""What of an answer is shown: nothing that a browser would load, and code as it is."""

from __future__ import annotations

import random
import re

import pytest
from markdown_it import MarkdownIt

from aidp_ext.ai.chats.display import Display, shown

MARKDOWN = MarkdownIt("gfm-like", {"html": True, "linkify": False})
HARMLESS = re.compile(r"<(br ?/?|/?su[bp])>")
EVIL = "https://evil.example/x.png"
LOADING = (
    f"![a]({EVIL})",
    f"!!![a]({EVIL})",
    f"![a][ref]\n\n[ref]: {EVIL}",
    f"![ref]\n\n[ref]: {EVIL}",
    f"![a](data:image/svg+xml;base64,PHN2Zz4=)\n![b](<{EVIL}> 'title')",
    f"[![badge]({EVIL})](https://a.example)",
    f"<img src={EVIL}>",
    f"<IMG\nSRC='{EVIL}'>",
    f"<iframe src='{EVIL}'></iframe><link rel=stylesheet href={EVIL}><style>@import '{EVIL}'</style>",
    f"<svg><image href='{EVIL}'/></svg><!-- <img src={EVIL}> -->",
    f"text <br onload=x> <br/ src={EVIL}>",
    f"$\\style{{background:url({EVIL})}}{{x}}$ and $$\\bbox[background:url({EVIL})]{{x}}$$",
    # what only looks like code
    f"`![a]({EVIL})",
    f"\\`![a]({EVIL})`",
    f"a ` b\nc `![a]({EVIL})` d",
    f"# a ` b\n![a]({EVIL}) ` e",
    f"| ` | ![a]({EVIL}) ` |\n|--|--|",
    f"https://a.example/` ![a]({EVIL}) `",
    f"<https://a.example/`> ![a]({EVIL}) `",
    f"1. a\n\n   ```\n   x\n![a]({EVIL})\n   ```",
    f"> ```\n> x\n![a]({EVIL})",
    f"- ```\n```\nx\n```\n![a]({EVIL})",
    f"```\nx\n```\n![a]({EVIL})",
    f"```\nx\n   ```\n![a]({EVIL})",
    f"~~~\n```\n~~~\n![a]({EVIL})",
    f"``` a`b\n![a]({EVIL})",
    f"<div>\n```\n\n![a]({EVIL})\n```",
    f"<b>\n```\n\n![a]({EVIL})\n```",
    f"    ```\n![a]({EVIL})",
)
CODE = (
    "```rust\nlet a = vec![1, 2];\n```\n",
    "```html\n<img src=x>\n```\n",
    "~~~~sh\n![ -f x ] && ls\n~~~\n~~~~\n",
    "Use `vec![1]` and ``a ` <b>![x](y)`` here.",
    "1. first\n\n   ```\n   a ![x](y)\n   ```\n2. second",
)


def loads(text: str) -> bool:
    """Whether CommonMark, with GitHub's tables, has an image, a tag, or outside of code a macro with a style."""
    tokens = [token for block in MARKDOWN.parse(text) for token in (block, *(block.children or ()))]
    words = "".join(token.content for token in tokens if token.type == "text")
    return any(
        token.type == "image" or (token.type.startswith("html_") and not HARMLESS.fullmatch(token.content.strip()))
        for token in tokens
    ) or bool(re.search(r"\\(style|bbox)", words))


def test_the_judge_knows_what_loads() -> None:
    assert all(loads(text) for text in (f"![a]({EVIL})", "<img src=x>", "a <b>", "$\\style{x}$"))


@pytest.mark.parametrize("text", LOADING)
def test_nothing_is_left_that_a_browser_would_load(text: str) -> None:
    assert not loads(shown(text))


@pytest.mark.parametrize("text", LOADING)
def test_nothing_is_left_either_while_it_comes_in_pieces(text: str) -> None:
    display = Display()
    for character in text:
        display.add(character)
        assert not loads(display.text)
    assert display.text == shown(text)


@pytest.mark.parametrize("text", CODE)
def test_code_stays_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_what_a_model_says_of_an_image_stays_as_a_link() -> None:
    assert shown(f"See ![the plot]({EVIL}).") == f"See [the plot]({EVIL})."


@pytest.mark.parametrize(
    "text",
    ["a < b and b > c, 1 <2", "<https://docs.example/a?b=c>", "|a<br>b|c|\n|-|-|", "H<sub>2</sub>O", "$a^2 < b$ & c"],
)
def test_plain_markdown_stays_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_html_is_shown_as_text() -> None:
    assert shown("a <b>c</b> <details>") == "a &lt;b>c&lt;/b> &lt;details>"


@pytest.mark.parametrize("seed", range(20))
def test_the_pieces_that_it_comes_in_make_no_difference(seed: int) -> None:
    chance = random.Random(seed)
    parts = ["```", "~~~", "`", "![a](b)", "<img>", "\n", "\n\n", "   ", "x", "- ", "> ", "\r\n", "|", "\\`", "word "]
    text = "".join(chance.choices(parts, k=60))
    display, rest = Display(), text
    while rest:
        size = chance.randint(1, 7)
        # a line's end that is cut in two is one all the same
        if rest[:size].endswith("\r"):
            size += 1
        display.add(rest[:size])
        rest = rest[size:]
    assert display.text == shown(text)


def test_an_open_block_of_code_is_closed_before_what_follows() -> None:
    display = Display()
    display.add("```python\nx = 1")
    display.close()
    display.add("\n*— Stopped.*")
    assert display.text == "```python\nx = 1\n```\n\n*— Stopped.*"
