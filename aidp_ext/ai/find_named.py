"""Secrets that have no form of their own: known by the name beside them, or by looking random.

The names are detect-secrets' (and a few more). Its own expressions around them read a hostile text in quadratic time
and stop at the first of a line; here each name is looked up as a literal, and what follows it is matched in bounds.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Span = tuple[int, int, str]  # start, end, kind


@dataclass(frozen=True)
class _Words:
    """What is taken from detect-secrets."""

    strong: re.Pattern[str]  # in names of secrets
    is_known: Callable[[str], bool]  # a sequence such as ABCDEF…, or a UUID


@functools.cache
def words() -> _Words:
    """Return the names of secrets; imports detect-secrets, which takes up to half a second."""
    from detect_secrets.filters.heuristic import is_potential_uuid, is_sequential_string
    from detect_secrets.plugins.keyword import DENYLIST

    more = ("access_?key", "passphrase", "passwort", "kennwort", "mot_?de_?passe", "credential", r"(?:^|_)pass$")
    strong = re.compile("|".join((*DENYLIST, *more)))
    return _Words(strong, lambda text: is_potential_uuid(text) or is_sequential_string(text))


HAS_DIGIT = re.compile(r"[0-9]")
_STEMS = ("pass", "pwd", "secret", "key", "token", "auth", "cred", "contrase", "kennwort", "signature", "login")
_NAME_CHARS = "abcdefghijklmnopqrstuvwxyz0123456789_-ñ"
_NAME_REST = re.compile(r"[\w-]{0,48}+")
_WEAK_NAME = re.compile(r"(?:token|key|auth|pat|sig|signature|credential|secret)s?(?:_?\d+)?$")
#: Names about a secret that do not hold it; their values must look random to be one.
_ABOUT = re.compile(
    r"_(?:names?|ids?|columns?|cols?|fields?|headers?|path|file|url|uri|env|var|variable|label|type|policy|length|len"
    r"|hash|prompt|arn|manager|store|scope|version|expiry|expires\w*|ttl|hint|help|msg|message|error|required|regex"
    r"|pattern|format|strength|reset|count|min|max|index|idx|input|placeholder|title|text|description)$"
)
_QUOTED = re.compile(
    r"\\{0,3}[\"'`]?\]?\)?(?:[ \t]{0,2}:[ \t]{0,4}[A-Za-z][\w.\[\]| ]{0,40}?)?"  # closers; a type
    r"[ \t]{0,8}(?:={1,3}>?|:=?|!==?)[ \t]{0,8}[rbuf@]{0,2}(\\{0,3}(?:\"\"\"|'''|[\"'`]))"
)
_QUOTED_AFTER_COMMA = re.compile(r"\\{0,3}[\"'`]\s{0,2},\s{0,8}[rbuf]{0,2}(\\{0,3}[\"'`])")  # .option("password", "…")
_IN_CALL = re.compile(r"\(\s{0,2}\\{0,3}[\"'`]\Z")
_QUOTED_AFTER_SPACE = re.compile(r"[ \t]{1,4}(['\"`])")  # SQL: PASSWORD '…'
_REST_OF_LITERAL = {q: re.compile(rf"(?:[^{q}\\\n]|\\.){{0,512}}+") for q in "\"'`"}
_BARE = re.compile(r"([ \t]{0,4})([=:])([ \t]{0,4})([^\s\"'`#,;&<>(){}\[\]\\]{4,256}+)(?=[\s,;&#\\]|$)")
_BARE_NO_QUERY = re.compile(r"([ \t]{0,4})([=:])([ \t]{0,4})([^\s\"'`,;<>(){}\[\]\\]{4,256}+)(?=[\s,;\\]|$)")
_ENV = re.compile(r"=([^\s\"'`][^\s\"'`]{3,255}+)[ \t]*(?:\n|\Z)")
_ENV_BEFORE = re.compile(r"[ \t]*(?:- )?(?:export |set |%env |%set_env )?[\w.-]{0,40}")
_FLAG = re.compile(r"[ \t]{1,2}([^\s\"'`\-$<>{}\\][^\s\"'`<>{}\\]{3,255}+)")
_SAID = re.compile(r"[ \t]{1,2}(?:is|lautet|ist)[ \t]{0,2}:?[ \t]{1,2}([^\s\"'`<>{}\\]{4,128}+)", re.IGNORECASE)
_TAG = re.compile(r">([^<>\s]{4,256}+)</")
_PAIR = re.compile(r"[ \t]{0,2}[=(][ \t]{0,2}\(?[ \t]{0,2}([\"'])[^\"'\n]{0,128}+\1\s{0,4},\s{0,4}([\"'])")
_TYPES = frozenset(
    {
        "str",
        "bytes",
        "int",
        "float",
        "bool",
        "none",
        "null",
        "true",
        "false",
        "string",
        "any",
        "optional",
        "secretstr",
        "number",
        "boolean",
    }
)
_TELLING = re.compile(
    r"\b(?:your|enter|required|password|passwort|secret|must|please|invalid|example)\b", re.IGNORECASE
)
_CALL = re.compile(r"[A-Za-z_][\w.]*[(\[].*[)\]]")
_REFERENCE = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")


def find_named(text: str, lower: str) -> Iterator[Span]:
    """Yield the values that are assigned to names such as ``password`` or ``api_key``."""
    hits = set()
    for stem in _STEMS:
        at = lower.find(stem)
        while at >= 0:
            hits.add(at)
            at = lower.find(stem, at + len(stem))
    done = 0
    for at in sorted(hits):
        if at < done:
            continue
        before = lower[max(0, at - 40) : at]
        start = at - (len(before) - len(before.rstrip(_NAME_CHARS)))
        rest = _NAME_REST.match(lower, at)
        end = done = rest.end() if rest else at
        if start >= 1 and lower[start - 1] == "\\" and lower[start] in "nrt":
            start += 1
        start += len(lower[start:end]) - len(lower[start:end].lstrip("-_"))
        if span := _value_after(text, lower[start:end].replace("-", "_"), start, end):
            yield span


def _value_after(text: str, name: str, start: int, end: int) -> Span | None:
    """Return the span of the value of the name in ``text[start:end]``, where it is a secret."""
    if name.endswith(("auth", "login", "credentials")) and (pair := _PAIR.match(text, end)):
        return _accepted(text, "password", pair.end(), _end_of_literal(text, pair.end(), pair[2]))
    quoted = _QUOTED.match(text, end)
    if not quoted and _IN_CALL.search(text, max(0, start - 8), start):
        quoted = _QUOTED_AFTER_COMMA.match(text, end)
    if not quoted and name == "password":
        quoted = _QUOTED_AFTER_SPACE.match(text, end)
    if quoted:
        return _accepted(text, name, quoted.end(), _end_of_literal(text, quoted.end(), quoted[1]))
    if (tag := _TAG.match(text, end)) and text[start - 1 : start] == "<":
        return _accepted(text, name, *tag.span(1))
    if start >= 2 and text[start - 2 : start] == "--" and (flag := _FLAG.match(text, end)):
        return _accepted(text, name, *flag.span(1))
    if (said := _SAID.match(text, end)) and strength(name) == 2 and _has_symbol(said[1].rstrip(".,;!?)")):
        return _accepted(text, name, said.start(1), said.start(1) + len(said[1].rstrip(".,;!?)")))
    line = _ENV_BEFORE.fullmatch(text, text.rfind("\n", max(0, start - 64), start) + 1, start)
    if line and text[start:end].isupper() and (env := _ENV.match(text, end)) and not _CALL.fullmatch(env[1]):
        return _accepted(text, name, *env.span(1))
    is_query = text[start - 1 : start] in ("?", "&")
    bare = (_BARE if is_query else _BARE_NO_QUERY).match(text, end)
    if bare and _is_bare_value(text, name, start, bare, bool(line)):
        return _accepted(text, name, *bare.span(4))
    return None


def _end_of_literal(text: str, start: int, quote: str) -> int:
    """Return where a quoted text ends; one that is never closed ends with its line, or the text."""
    if len(quote) > 1:
        end = text.find(quote, start, start + 512)
        if end >= 0:
            return end
    rest = _REST_OF_LITERAL[quote[-1]].match(text, start)
    return rest.end() if rest else start


def _is_bare_value(text: str, name: str, start: int, bare: re.Match[str], begins_line: bool) -> bool:
    """Return whether an unquoted value is a value, and not a variable, a type or an expression."""
    value = bare[4]
    if value.lower() in _TYPES or strength(name) < 2:
        return is_random(value)
    is_env = bare[2] == "=" and not bare[1] and not bare[3]
    if is_env and (text[start - 1 : start] in ("?", "&", ";") or text[bare.end() : bare.end() + 1] in ("&", ";")):
        return True  # a query, or a connection string
    if not _REFERENCE.fullmatch(value):
        return _has_symbol(value) and not (value.isdigit() and len(value) < 6)
    if "." in value:
        return False
    if HAS_DIGIT.search(value):
        return len(value) >= 6 and (is_env or bare[2] == ":")
    is_whole_line = begins_line and not text[bare.end() : bare.end() + 1].strip()
    return is_whole_line and bare[2] == ":" and "pass" in name and not value[0].isupper()


def _has_symbol(value: str) -> bool:
    return any(not c.isalpha() and c not in "_.-" for c in value)


def _accepted(text: str, name: str, start: int, end: int) -> Span | None:
    kind = kind_of(name, text[start:end])
    return (start, end, kind) if kind else None


@functools.lru_cache(maxsize=1024)
def strength(name: str) -> int:
    """Return 2 for a name that says secret, 1 for one that may (the value must look random), 0 for any other."""
    if words().strong.search(name) and not _ABOUT.search(name):
        return 2
    return 1 if _WEAK_NAME.search(name) or _ABOUT.search(name) else 0


def kind_of(name: str, value: str) -> str | None:
    """Return the kind of secret that ``value`` is as the value of ``name``, or None where it is none.

    >>> kind_of("db_password", "hunter2")
    'password'
    """
    found = strength(name.lower().replace("-", "_"))
    if found == 2:
        is_secret = 4 <= len(value) <= 512 and not is_template(value) and not _is_word_for_it(name, value)
    else:
        is_secret = found == 1 and is_random(value)
    if not is_secret:
        return None
    return "password" if re.search("pass|pwd|kennwort|contrase", name.lower()) else "token"


def _is_word_for_it(name: str, value: str) -> bool:
    """Return whether a value only speaks of a secret: "Enter your password", "password", "API_KEY"."""
    plain = value.strip(" :*").lower().replace("-", "_")
    if plain == name.lower() or plain in _TYPES:
        return True
    if " " in plain:
        return bool(_TELLING.search(value))
    return words().strong.fullmatch(plain) is not None or re.fullmatch(r"[A-Z]+(?:_[A-Z]+)+", value) is not None


def is_template(value: str) -> bool:
    """Return whether a value stands for another, ``{password}`` or ``$TOKEN``, or is masked, ``****``."""
    value = value.strip()
    return not value or len(set(value)) == 1 or value.startswith(("{", "<", "$", "%(", "["))


# ---- values without a name

_QUOTED_RANDOM = re.compile(r"([\"'])([A-Za-z0-9+/=_-]{24,256}+)(?=\1|\\)", re.ASCII)
_HASH_NAME = re.compile(r"sha\d*|md5|hash|digest|checksum|commit|revision|\brev\b|etag|uuid|\bids?\b|_id|crc|blake|git")
_HEX = re.compile(r"[0-9a-fA-F]+")


def find_random(text: str) -> Iterator[Span]:
    """Yield quoted strings that look random, unless the words before them say that they are a hash or an id."""
    for found in _QUOTED_RANDOM.finditer(text):
        value = found[2]
        is_hex = _HEX.fullmatch(value) is not None
        if not is_random(value) or (is_hex and len(value) < 32):
            continue
        if not is_hex and (_changes(value) < 0.4 or not _HAS_ALL.match(value)):
            continue
        line = text.rfind("\n", max(0, found.start() - 160), found.start()) + 1
        if _HASH_NAME.search(text[max(line, found.start() - 160) : found.start()].lower()):
            continue
        yield *found.span(2), "random-string"


_HAS_ALL = re.compile(r"(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])(?=[^0-9]*[0-9])")
_RANDOM = re.compile(r"[A-Za-z0-9+/=_.~-]{16,512}", re.ASCII)


def is_random(value: str) -> bool:
    """Return whether a string looks like a key: long, mixed, and no sequence, UUID, path or words."""
    if not _RANDOM.fullmatch(value) or not HAS_DIGIT.search(value) or value.replace(".", "").isdigit():
        return False
    if words().is_known(value):
        return False
    if _HEX.fullmatch(value):
        return _entropy(value) > 3.0
    return _entropy(value) > 3.4 and _changes(value) >= 0.28


def _entropy(value: str) -> float:
    """Return Shannon's entropy in bits a character; detect-secrets' measure, in one pass."""
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in Counter(value).values())


def _changes(value: str) -> float:
    """Return the share of places where the class of character changes: about 0.6 in random text, 0.2 in words."""
    classes = ["d" if c.isdigit() else "u" if c.isupper() else "l" if c.islower() else "s" for c in value]
    return sum(a != b for a, b in itertools.pairwise(classes)) / (len(value) - 1)
