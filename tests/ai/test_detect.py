"""Finding secrets and personal data in a text."""

from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aidp_ext.ai import detect, find_secrets
from aidp_ext.ai.detect import DEFAULT_KINDS, LABELS, PERSONAL_KINDS, SECRET_KINDS, Match
from tests.support.notebook_text import TEXT
from tests.support.planted import PERSONAL, SECRETS


def found(text: str, **options: object) -> list[tuple[str, str]]:
    return [(match.kind, text[match.start : match.end]) for match in detect.find(text, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "value"), SECRETS)
@pytest.mark.parametrize("around", ["{}", "x = '{}'\n", "see {}, thanks", '{{\\"a\\": \\"\\n{}\\"}}', "({})", "\n{}\n"])
def test_a_token_is_found_whole_by_its_form(kind: str, value: str, around: str) -> None:
    assert found(around.format(value)) == [(kind, value)]


@pytest.mark.parametrize(("kind", "value"), PERSONAL)
@pytest.mark.parametrize("around", ["{}", "x = '{}'\n", "see {}, thanks", "({})", "[{}]", "\n{}\n", "<{}>"])
def test_personal_data_is_found_whole_by_its_form(kind: str, value: str, around: str) -> None:
    assert found(around.format(value)) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        'password = "§"',
        "password = '§'",
        'DB_PASSWORD="§"',
        'db.password == "§"',
        'os.environ["DB_PASSWORD"] = "§"',
        'os.environ.setdefault("API_KEY", "§")',
        '{"user": "ana", "password": "§"}',
        '{\\"user\\": \\"ana\\", \\"password\\": \\"§\\"}',
        "{'client_secret': '§'}",
        'spark.read.option("password", "§").load()',
        'def connect(user: str, password: str = "§") -> None: ...',
        "requests.get(url, auth=('ana', '§'))",
        'HTTPBasicAuth("ana", "§")',
        'smtp.login("ana", "§")',
        "DB_PASSWORD=§",
        "export API_KEY=§",
        "%env API_KEY=§",
        "password: §",
        "  - password: §",
        "the password is §.",
        "mysql --password=§ --host=x",
        "mysql --password § --host=x",
        "curl https://example.com/?api_key=§&page=2",
        "Server=db;Uid=sa;Pwd=§;Database=x",
        "CREATE USER ana WITH PASSWORD '§';",
        "<password>§</password>",
        'password = """§"""',
        'api-key: "§"',
        'const apiKey = "§";',
        'password := "§"',
        'Kennwort = "§"',
        "postgresql://ana:§@db.example.com:5432/x",
        "redis://:§@localhost:6379/0",
        "mongodb+srv://ana:§@cluster0.example.mongodb.net",
    ],
)
@pytest.mark.parametrize("value", ["hunter2", "Tr0ub4dor&3"])
def test_a_password_is_found_by_what_stands_before_it(text: str, value: str) -> None:
    text = text.replace("§", value)
    if value.endswith("&3") and "?api_key=" in text:
        return  # & ends a value there
    assert value in [one for _, one in found(text)]


@pytest.mark.parametrize("value", ["correct horse battery staple", 'a\\"b', "größe1", "p@ss{w}ord", "日本語パスワード"])
def test_a_quoted_password_may_have_anything_in_it(value: str) -> None:
    assert found(f'password = "{value}"') == [("password", value)]


@pytest.mark.parametrize(
    "text",
    [
        'password = os.environ["DB_PASSWORD"]',
        "password = getpass.getpass()",
        "password = config.password",
        "connect(password=password, token=token)",
        "def f(password: str, token: str | None = None): ...",
        "class A:\n    password: SecretStr\n    api_key: Optional[str]",
        'password = f"{password}"',
        'password = "${DB_PASSWORD}"',
        'password = "<your password>"',
        'password = "********"',
        'password = ""',
        'label = {"password": "Enter your password"}',
        'token = "[MASK]"',
        'secret_name = "prod/db"',
        'password_field = "#pw"',
        "pad_token='<pad>', eos_token='</s>', tokenizer = 'bert-base-uncased'",
        'sorted(x, key="name")',
        "primary_key: customer_id",
        'names = ["password", "username"]',
        "https://user:password@example.com, https://{user}:{password}@{host}",
        "Authorization: Bearer {token}",
        "max_tokens = 4096",
    ],
)
def test_what_only_speaks_of_a_password_is_none(text: str) -> None:
    assert found(text) == []


def test_notebooks_as_they_are_written_raise_no_false_alarm() -> None:
    assert found(TEXT) == []


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-17 09:41:07.123456",
        "17.05.2024 09:41",
        "01-02-2024 0304 05",
        "3.14159265358979 -1.2345678 +2.3456789 1e-10",
        "1715938867123456789",
        "4242 4242 4242 4243",  # Luhn says no
        "4111111111111112",
        "9111111111111111",  # no issuer
        "DE89370400440532013001",  # mod 97 says no
        "DE8937040044053201300",  # too short
        "pip install a==10.2.3.40",
        "version 10.2.3.40 v10.2.3.40 >=10.2.3.40",
        "1.2.3.4",
        "256.1.2.300",
        "10.1.2.3.4",
        "127.0.0.1 0.0.0.0 255.255.255.0 224.0.0.251",
        "::1 a[::2] x[10::20] 12:30:45 std::vector",
        "A@B.T h@W.mean() x@w.reshape(3) @pytest.mark.skip git@github.com:a/b.git",
        "02110-1301",
        "978-3-16-148410-0",
        "123e4567-e89b-12d3-a456-426614174000",
        "commit 4092204f6a1b2c3d4e5f60718293a4b5c6d7e8f9",
        'sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"',
        'path = "models/ResNet50_imagenet-pretrained_weights/V2_final"',
        'alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"',
        "sk-learn-style-long-names-with-many-dashes",
        "task-1234567890123456789012345",
    ],
)
def test_what_only_resembles_is_left_alone(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "text", ["phone = 5551234567", '{"mobile": "5551234567"}', "tel: 030 1234567", "Telefon 0301234567"]
)
def test_a_number_is_a_phones_by_the_word_before_it(text: str) -> None:
    assert [kind for kind, _ in found(text)] == ["phone"]


KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+/IBAAK\nabcDEF123==\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize("key", [KEY, KEY.replace("\n", "\\n"), KEY.replace("\n", "\r\n"), KEY.replace("RSA ", "")])
def test_a_private_key_is_found_with_all_its_lines(key: str) -> None:
    assert found(f'key = """{key}"""\nprint(1)') == [("private-key", key)]


def test_a_private_key_is_found_in_pgps_and_puttys_form() -> None:
    pgp = "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOY+/\n=ab12\n-----END PGP PRIVATE KEY BLOCK-----"
    putty = f"PuTTY-User-Key-File-2: ssh-rsa\nPrivate-Lines: 1\nAAAA+/==\nPrivate-MAC: {'0a' * 20}"
    assert found(pgp + "\n!\n" + putty) == [("private-key", pgp), ("private-key", putty)]


def test_half_a_private_key_is_found_as_far_as_it_goes() -> None:
    first, second = KEY[:50], KEY[50:]
    assert found(first) == [("private-key", first)]
    assert found(f"!\n{second} rest") == [("private-key", "\n" + second)]
    assert found(f"{first}\n! and so on")[0][1].startswith(first)


def test_two_keys_are_two_matches() -> None:
    assert [kind for kind, _ in found(KEY + "\n!\n" + KEY)] == ["private-key", "private-key"]


def test_names_are_found_only_where_they_are_asked_for() -> None:
    names = detect.names_pattern(["Ana María", "Bo", " "])
    text = "ANA  MARÍA met Bo, not Bob"
    assert found(text, names=names) == []
    kinds = DEFAULT_KINDS | {"name"}
    assert found(text, kinds=kinds, names=names) == [("name", "ANA  MARÍA"), ("name", "Bo")]
    assert detect.names_pattern(["", " "]) is None


def test_only_the_kinds_that_are_asked_for_are_found() -> None:
    text = "ana@example.org AKIAIOSFODNN7EXAMPLE 555-123-4567"
    assert [kind for kind, _ in found(text, kinds=frozenset({"phone"}))] == ["phone"]
    assert [kind for kind, _ in found(text, kinds=PERSONAL_KINDS)] == ["email", "phone"]
    assert [kind for kind, _ in found(text, kinds=SECRET_KINDS)] == ["aws-access-key"]
    assert found(text, kinds=frozenset()) == []


def test_overlapping_matches_become_one_of_the_first_kind() -> None:
    assert detect.merged([(5, 9, "a"), (0, 6, "b"), (20, 22, "c"), (9, 12, "d")]) == [
        Match(0, 9, "a"),
        Match(9, 12, "d"),
        Match(20, 22, "c"),
    ]


def test_each_kind_has_words_for_people() -> None:
    assert set(LABELS) == SECRET_KINDS | PERSONAL_KINDS
    assert {kind for kind, _ in SECRETS} <= SECRET_KINDS
    assert all(LABELS.values())


def test_every_form_of_detect_secrets_that_is_used_has_an_example() -> None:
    kinds = {kind for _, _, kind, _ in find_secrets._PLUGINS} | {kind for _, kind, _ in find_secrets._TOKENS}
    assert kinds <= {kind for kind, _ in SECRETS}


def test_no_character_shifts_the_positions() -> None:
    for code in range(sys.maxunicode + 1):
        assert code == 0x130 or len(chr(code).lower()) == 1
    assert found("İ" * 9 + 'password = "hunter2"') == [("password", "hunter2")]


@given(st.text(), st.sampled_from([value for _, value in SECRETS + PERSONAL]), st.text())
@settings(max_examples=300, deadline=None)
def test_matches_are_sorted_and_in_bounds_whatever_the_text(before: str, value: str, after: str) -> None:
    text = before + value + after
    ends = 0
    for match in detect.find(text):
        assert ends <= match.start < match.end <= len(text)
        ends = match.end


PIECES = str.split(
    '@ a@ a@a. a. eyJ eyJa. sk- sk-a- :// ://a: ://a:b@ password password= password=\' password="a pass~ key=" '
    '"key"," 1 1~ 1. 1- 12~ 0 01~ +1~ + ( (1) 1234~ a: : :: 2001: f \\n aws aws~key\' awskeyawstoken\' \' "A1b AKIA '
    "AC SK MMMM M. glagent- glpat- AP APA1~ AKC~ DE DE89~ DE893 GB82~WEST~ bearer~ authorization authorization:~ "
    "token~ token:a https://hooks.slack.com/services/T1 xoxb-1- 1:A 12345678:A -us a-us1 phone~ tel~1 tel~1-1 (0 "
    "4111~ 4111- SG. auth=('a',' auth=(' login(\"a --token~ é@ é <password> Private-MAC:~ İ 1.1.1.1 version~ "
    "v1.1.1.1~ ya29. xapp-1- ~'a Aa1 / A1/b+ -----BEGIN~PRIVATE~KEY----- -----BEGIN~PRIVATE~KEY-----! "
    "-----END~PRIVATE~KEY----- -----END~PRIVATE~KEY-----A PuTTY-User-Key-File-2"
)


def cost_s(text: str) -> float:
    """Return the CPU time of a look at a text, the least of two."""

    def once() -> float:
        started = time.process_time()
        detect.find(text)
        return time.process_time() - started

    return min(once(), once())


@pytest.mark.parametrize("piece", PIECES)
def test_a_hostile_text_takes_time_in_proportion_to_its_length(piece: str) -> None:
    detect.find("the import is not what is measured")
    piece = piece.replace("~", " ")
    short, long = (cost_s((piece * (size // len(piece) + 1))[:size]) for size in (16_000, 256_000))
    # 16 times the length: linear is 16, quadratic 256; a tenth of a second is no matter
    assert long < 64 * short or long < 0.1


@given(st.lists(st.sampled_from(PIECES), min_size=2, max_size=4))
@settings(max_examples=15, deadline=None)
def test_a_hostile_mixture_does_too(pieces: list[str]) -> None:
    text = "".join(pieces).replace("~", " ")
    short, long = (cost_s((text * (size // len(text) + 1))[:size]) for size in (16_000, 256_000))
    assert long < 64 * short or long < 0.1
