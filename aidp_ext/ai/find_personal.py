"""Personal data in a text: by form and, where there is one, by checksum. Linear in the text's length.

Notebooks are full of numbers, so a number must look like what it is taken for: a phone number is written in groups or
follows a word such as "phone", a card's number passes Luhn's check and begins as an issuer's, a version is no address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator

Span = tuple[int, int, str]  # start, end, kind

LABELS = {
    "email": "e-mail address",
    "phone": "phone number",
    "card": "payment card number",
    "iban": "bank account number (IBAN)",
    "ip": "IP address",
    "name": "name",
}


def find(text: str, kinds: Collection[str]) -> list[Span]:
    """Return where personal data is, unsorted; spans may overlap."""
    found: list[Span] = []
    if "email" in kinds and "@" in text:
        found += _emails(text)
    if "ip" in kinds and ":" in text:
        found += _addresses_v6(text)
    if len(text) < 7 or not _NUMBER.search(text):
        return found
    for kind, look in (("iban", _ibans), ("card", _cards), ("ip", _addresses_v4), ("phone", _phones)):
        if kind in kinds:
            found += look(text)
    return found


_NUMBER = re.compile(r"[0-9]{2}|[0-9]\.[0-9]")


# ---- e-mail

_LOCAL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._%+-'"
_DOMAIN = re.compile(r"(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w(\[]|\.\w|-\w)")
_LOGIN = re.compile(r"://[^\s/@:]{0,128}:[^\s/@]{0,128}\Z")  # what follows is a password
#: ``a@b.sum`` multiplies matrices.
_ATTRIBUTES = frozenset({
    "array", "astype", "columns", "conj", "copy", "data", "diag", "dot", "dtype", "flat", "grad", "head", "iloc",
    "imag", "index", "inverse", "item", "iterrows", "loc", "mH", "mT", "max", "mean", "min", "ndim", "numpy", "real",
    "reshape", "round", "shape", "size", "std", "sum", "tail", "tensor", "to", "transpose", "values", "view", "weight",
})  # fmt: skip


def _emails(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:
        before = text[max(0, at - 64) : at]
        local = before[len(before) - _length_of_local(before) :]
        start = at - len(local)
        if start and text[start - 1] == "\\" and local[:1] in ("n", "r", "t"):
            local, start = local[1:], start + 1  # behind a written line break
        domain = _DOMAIN.match(text, at + 1) if local.strip(".") else None
        is_login = _LOGIN.search(text, max(0, start - 264), start) or (
            local == "git" and domain and text[domain.end() : domain.end() + 1] in (":", "/")
        )
        if domain and not is_login and domain[0].rsplit(".", 1)[1] not in _ATTRIBUTES:
            yield start, domain.end(), "email"
        at = text.find("@", at + 1)


def _length_of_local(before: str) -> int:
    if before.isascii():
        plain = len(before) - len(before.rstrip(_LOCAL))
    else:
        found = _LOCAL_AT_START.match(before[::-1])
        plain = found.end() if found else 0
    return plain - len(before[len(before) - plain :]) + len(before[len(before) - plain :].lstrip(".'"))


_LOCAL_AT_START = re.compile(r"[\w.%+'-]{0,64}+")


# ---- IP addresses

_V4 = re.compile(r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![\w-]|\.[0-9])", re.ASCII)
_V6 = re.compile(r"(?<![\w:.])(?:[23][0-9a-f]{3}|f[cde][0-9a-f]{2}):[0-9a-f:]{2,35}(?![\w:]|\.\w)", re.ASCII | re.I)
_VERSION = re.compile(r"(?:[=~<>!]=|[\^~]|\bv|versions?[\W_]{0,7}|release\W{0,3}|[\w)]/)\s{0,2}\Z", re.IGNORECASE)


def _addresses_v4(text: str) -> Iterator[Span]:
    for found in _V4.finditer(text):
        parts = found[0].split(".")
        # 1.2.3.4 is a version or a section; the addresses of this form belong to public servers, not to people
        if all(len(part) == 1 for part in parts) or _VERSION.search(text, max(0, found.start() - 16), found.start()):
            continue
        if _is_somebodys(found[0]):
            yield *found.span(), "ip"


def _addresses_v6(text: str) -> Iterator[Span]:
    for found in _V6.finditer(text):
        if _is_somebodys(found[0]):
            yield *found.span(), "ip"


def _is_somebodys(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    is_general = address.is_loopback or address.is_unspecified or address.is_multicast or address.is_reserved
    return not is_general


# ---- phone numbers

_PHONE = re.compile(
    r"""(?<![\w.+\-/,:=])(?:
      \+[1-9][0-9]{6,14}                                         # +4915112345678 (E.164: at most 15 digits)
    | \+[1-9][0-9]{0,2}(?:[ \-/]?\(0?[0-9]{1,5}\)|(?=[ \-./]))(?:[ \-./]{1,2}[0-9]{2,8}){1,6}
    | 00[1-9][0-9]{0,2}(?:[ \-/][0-9]{2,8}){2,6}
    | (?:1[ \-.])?\([2-9][0-9]{2}\)[ \-]?[0-9]{3}[ \-.][0-9]{4}    # (555) 123-4567
    | (?:1[\-.])?[2-9][0-9]{2}([\-.])[0-9]{3}\1[0-9]{4}            # 555-123-4567
    | \(0[1-9][0-9]{1,4}\)[ /\-]{0,2}[0-9]{2,8}(?:[ \-][0-9]{1,8}){0,4}   # (030) 901820
    | 0[1-9][0-9]{1,4}[ ]?/[ ]?[0-9]{2,8}(?:[ \-][0-9]{1,6}){0,3}   # 030/901820
    | 0[1-9](?:([ .\-])[0-9]{2})(?:\2[0-9]{2}){3}                  # 01 23 45 67 89
    | (?![0-9]{5}-[0-9]{4}\b)0[1-9][0-9]{2,4}[ \-][0-9]{3,8}(?:[ \-][0-9]{2,6}){0,2}  # 0151 23456789
    | 0[1-9][0-9][ \-][0-9]{3,4}[ \-][0-9]{4}                       # 020 7946 0958
    )(?![\w]|[.,:/\-]?[0-9]|[ ][0-9])""",
    re.VERBOSE | re.ASCII,
)
_CALLED = re.compile(
    r"(?:phone|mobile|\bcell|\btel|\bfax|telefon|handy|whatsapp|\bmobil)(?:[_ ]?(?:no|nr|number|nummer))?[\w.]{0,8}"
    r"\\?[\"'\]]{0,2}[ \t]{0,3}(?:[:=,]|is|#)?[ \t]{0,3}\\?[\"'(]{0,2}(\+?\(?[0-9][0-9 ()\-./]{5,22}[0-9])(?![\w.])",
    re.IGNORECASE | re.ASCII,
)
_PHONE_WORDS = ("phone", "mobil", "cell", "tel", "fax", "handy", "whatsapp")
_DATE = re.compile(r"[0-9]{1,2}[-./ ][0-9]{1,2}[-./ ](?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}[-./ ][0-9]{1,2}[-./ ]")


def _phones(text: str) -> Iterator[Span]:
    for found in _PHONE.finditer(text):
        if 7 <= _digits(found[0]) <= 15 and not _DATE.match(found[0]) and not _is_decimal(found[0]):
            yield *found.span(), "phone"
    lower = text.lower()
    if any(word in lower for word in _PHONE_WORDS):
        for found in _CALLED.finditer(text):
            number = found[1]
            if 7 <= _digits(number) <= 15 and not _DATE.match(number) and not re.fullmatch(r"[0-9]+\.[0-9]+", number):
                yield *found.span(1), "phone"


def _digits(text: str) -> int:
    return sum(c.isdigit() for c in text)


def _is_decimal(text: str) -> bool:
    """Return whether it is a number such as +1.2345678, or thousands, +1.234.567."""
    return "." in text and (text.count(".") == 1 or re.fullmatch(r"\+?[0-9]{1,3}(?:\.[0-9]{3})+", text) is not None)


# ---- payment cards

_CARD = re.compile(
    r"(?<![\w.+\-])(?:[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,4}(?:\1[0-9]{1,3})?|3[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5}"
    r"|[0-9]{13,19})(?!\w|[.\-,]?[0-9]| [0-9])",
    re.ASCII,
)
#: How the issuers' numbers begin, and how long they are (ISO/IEC 7812; the issuers' published ranges).
_ISSUER = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"
    r"|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:6011|65[0-9]{2}|64[4-9][0-9])[0-9]{12}(?:[0-9]{3})?"
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}|62[0-9]{14,17}|(?:50|5[6-9]|6[0-9])[0-9]{14}"
)


def _cards(text: str) -> Iterator[Span]:
    for found in _CARD.finditer(text):
        if is_card(found[0]):
            yield *found.span(), "card"


def is_card(text: str) -> bool:
    """Return whether these digits, however grouped, are a payment card's: the issuer's form and Luhn's check."""
    digits = text.replace(" ", "").replace("-", "")
    if not _ISSUER.fullmatch(digits) or len(set(digits)) < 2:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


# ---- IBAN

#: Lengths from SWIFT's IBAN registry.
_IBAN_LENGTH = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FK FO GL NL SD", "19": "MK SI", "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST", "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HU LB NI PL SV", "29": "BR EG PS QA UA",
        "30": "JO KW MU YE", "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}+", re.ASCII)
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}[ -]?[A-Za-z0-9]{4}")


def _ibans(text: str) -> Iterator[Span]:
    for start in _IBAN_START.finditer(text):
        length = _IBAN_LENGTH.get(start[0][:2].upper())
        found = _IBAN.match(text, start.start()) if length else None
        if not found or not length:
            continue
        # What follows behind a space belongs to the next word
        end, kept = found.start(), 0
        while kept < length and end < found.end():
            kept += text[end] not in " -"
            end += 1
        compact = found[0][: end - found.start()].replace(" ", "").replace("-", "").upper()
        if len(compact) == length and not text[end : end + 1].isalnum() and is_iban(compact):
            yield found.start(), end, "iban"


def is_iban(compact: str) -> bool:
    """Return whether an account number without spaces passes the check of ISO 13616 (mod 97)."""
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1
