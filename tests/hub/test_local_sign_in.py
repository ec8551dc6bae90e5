"""What is typed into the local sign-in, and what the record says of it."""

from urllib.parse import quote

import msgspec
import pytest

from aidp_ext.core.audit import verify
from tests.hub.browser import Browser
from tests.hub.process import Hub


def records(hub: Hub) -> list[dict]:
    lines = (hub.state_dir / "service" / "audit.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line) for line in lines]


@pytest.mark.parametrize(
    "name", ["x" * 100_000, "ada\nroot: signed in", "a\x1b[2Jb", "../../etc/passwd", "%0a", "日本"]
)
def test_a_name_that_is_none_is_refused_and_written_down_short(hub, name):
    answer = Browser(hub.url).sign_in(name, hub.password)
    assert answer.status == 403
    refused = [one for one in records(hub) if one["event"] == "hub.sign_in_refused"][-1]
    assert len(refused["actor"]) < 100
    assert refused["actor"].isprintable()
    assert verify(hub.state_dir / "service" / "audit.jsonl") == len(records(hub))
    assert "x" * 200 not in hub.log
    assert "\nroot: signed in" not in hub.log


def test_a_sign_in_and_a_sign_out_are_written_down_and_the_password_is_not(hub):
    browser = Browser(hub.url)
    assert browser.sign_in("cora", hub.password).url == f"{hub.url}hub/home"
    browser.open("hub/logout")
    assert Browser(hub.url).sign_in("cora", "a-wrong-password").status == 403
    coras = [one["event"] for one in records(hub) if one["actor"] == "cora" and one["event"] != "hub.token_made"]
    assert coras == ["hub.sign_in", "hub.sign_out", "hub.sign_in_refused"]
    text = (hub.state_dir / "service" / "audit.jsonl").read_text()
    assert hub.password not in text
    assert "a-wrong-password" not in text


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "cross-site"}])
def test_another_sites_post_signs_nobody_in(hub, headers):
    browser = Browser(hub.url)
    browser.open("hub/login")
    form = {"username": "cora", "password": hub.password}
    answer = browser.open("hub/login", form=form, more={"Origin": "https://evil.example", **headers})
    assert answer.status == 403
    assert "/hub/login" in browser.open("hub/home").url
    forged = {**form, "_xsrf": "x" * 40}
    assert browser.open("hub/login", form=forged, more={"Origin": "https://evil.example", **headers}).status == 403


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example/", "/\\evil.example/", "https:evil.example"])
def test_the_form_leads_nowhere_else(hub, to):
    browser = Browser(hub.url)
    browser.open("hub/login")
    form = {"username": "cora", "password": hub.password, "_xsrf": browser.cookie("_xsrf", "/hub/")}
    assert browser.open(f"hub/login?next={quote(to, safe='')}", form=form).url.startswith(hub.url)


def test_a_server_that_does_not_start_is_written_down(hub):
    browser = Browser(hub.url)
    browser.sign_in("dora", hub.password)
    token = browser.api_token("dora")
    api = Browser(hub.url, token)
    (hub.state_dir / "homes").mkdir(mode=0o700, exist_ok=True)
    (hub.state_dir / "homes" / "dora").write_text("a file where the folder should be")
    (hub.state_dir / "homes" / ".dora.new").write_text("and another")
    assert api.open("hub/api/users/dora/server", method="POST").status >= 400
    failed = [one for one in records(hub) if one["event"] == "hub.server_failed" and one["user"] == "dora"]
    assert [(one["actor"], one["reason"]) for one in failed] == [("dora", "home-not-writable")]
    assert not [one for one in records(hub) if one["event"] == "hub.server_stopped" and one["user"] == "dora"]
