"""A domain for each user: what they do there works, and a page of one can act neither in the hub nor in another's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser as Chrome
from playwright.sync_api import Page, expect

from aidp_ext.commands import hub_check
from hub_config import network, services
from hub_config.given import SettingsError
from hub_config.settings import Gateway, Settings
from tests.e2e.lab_page import new_notebook, run, wait_for_lab
from tests.hub.process import Hub

APP = {
    "GITHUB_CLIENT_ID": "Iv1.0123456789abcdef",
    "GITHUB_CLIENT_SECRET": "a-client-secret-of-the-apps",
    "AIDP_ALLOWED_USERS": "ana",
    "AIDP_USER_DOMAINS": "on",
}
TOKEN = "3f9c1d7ab24e5860c1d2e3f4a5b6978812fe34dc"
PUBLIC = {**APP, "OAUTH_CALLBACK_URL": "https://hub.example.org/hub/oauth_callback"}


# the setting


def test_it_is_off_unless_the_setting_says_on() -> None:
    assert Settings.from_env({}).user_domains is False
    assert services.page(Settings.from_env({})) == "/services/aidp/"
    with pytest.raises(
        SettingsError, match=r"AIDP_USER_DOMAINS \(user_domains in aidp.toml\) is 'yes'; it takes off or on"
    ):
        Settings.from_env({"AIDP_USER_DOMAINS": "yes"})


def test_the_service_has_a_domain_below_the_hubs_and_users_servers_go_to_it_past_the_proxy() -> None:
    settings = Settings.from_env(PUBLIC)
    assert settings.public_url == "https://hub.example.org/"
    assert services.page(settings) == "https://aidp--service.hub.example.org/services/aidp/"
    assert network.service_url(settings) == f"http://127.0.0.1:{settings.ports.service}/services/aidp/"


def test_on_loopback_the_hub_has_a_name_that_browsers_know() -> None:
    settings = Settings.from_env({"AIDP_USER_DOMAINS": "on", "AIDP_HUB_PORT": "8123"})
    assert settings.public_url == "http://hub.localhost:8123/"
    assert services.page(settings) == "http://aidp--service.hub.localhost:8123/services/aidp/"


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({**APP, "AIDP_HUB_HOST": "0.0.0.0", "AIDP_SPAWNER": "docker"}, "nothing says the hub's name"),
        ({**APP, "OAUTH_CALLBACK_URL": "https://192.0.2.7/hub/oauth_callback"}, "no name can be below 192.0.2.7"),
        ({**APP, "OAUTH_CALLBACK_URL": "https://hub/hub/oauth_callback"}, "no name can be below hub"),
        (
            {**PUBLIC, "AIDP_GATEWAY_URL": "http://127.0.0.1:9", "AIDP_GATEWAY_TOKEN": TOKEN}
            | {"AIDP_SPAWNER": "docker"},
            "do not reach AIDP_GATEWAY_URL",
        ),
    ],
)
def test_where_there_could_be_no_such_domains_the_hub_says_why(env: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings.from_env(env)


def test_a_gateway_elsewhere_is_asked_there() -> None:
    settings = Settings.from_env({**PUBLIC, "AIDP_GATEWAY_URL": "http://10.0.0.7:9000", "AIDP_GATEWAY_TOKEN": TOKEN})
    assert isinstance(settings.gateway, Gateway)
    assert network.service_url(settings) == "http://10.0.0.7:9000/services/aidp/"


def test_a_check_warns_without_it_and_looks_at_dns_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def origin(env: dict[str, str]) -> hub_check.Line:
        [line] = hub_check.origin(Settings.from_env(env))
        return line

    without = origin({name: value for name, value in PUBLIC.items() if name != "AIDP_USER_DOMAINS"})
    assert (without.mark, "AIDP_USER_DOMAINS=on" in without.next_step) == ("warn", True)
    known = {"aidp--service.hub.example.org"}

    def look_up(name: str, port: object) -> list[str]:
        if name in known:
            return ["192.0.2.7"]
        raise OSError("not known")

    monkeypatch.setattr(hub_check.socket, "getaddrinfo", look_up)
    half = origin(PUBLIC)
    assert (half.mark, half.found) == ("fail", "aidp-hub-check.hub.example.org lead nowhere")
    assert "*.hub.example.org" in half.next_step
    known.add("aidp-hub-check.hub.example.org")
    assert origin(PUBLIC).mark == "ok"
    assert origin({"AIDP_USER_DOMAINS": "on"}).mark == "ok"


# the real thing


@pytest.fixture(scope="module")
def domains_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(
        tmp_path_factory.mktemp("domains") / "state",
        terminal=True,
        AIDP_USER_DOMAINS="on",
        AIDP_ADMIN_USERS="ada",
        OLLAMA_HOST="http://127.0.0.1:9",
    )
    try:
        hub.wait_ready()
        yield hub
    finally:
        hub.close()


def sign_in(chrome: Chrome, hub: Hub, name: str, password: str) -> Page:
    """A window in which somebody has signed in at the hub's own address, and is where that leads."""
    page = chrome.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(60_000)
    page.goto(f"http://hub.localhost:{hub.port}/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    return page


#: What a page finds that asks another origin as whoever has it open: what it may read, or that it may not.
ASK = """async ([url, method]) => {
    try {
        const token = document.cookie.match(/_xsrf=([^;]+)/)?.[1];
        const headers = url.startsWith('/') ? { 'X-XSRFToken': token } : {};
        const answer = await fetch(url, { method, headers, credentials: 'include' });
        return `${answer.status} ${await answer.text()}`;
    } catch (error) {
        return 'refused';
    }
}"""


@pytest.mark.e2e
def test_each_has_lab_at_a_domain_and_a_page_there_can_do_nothing_elsewhere(domains_hub: Hub, chrome: Chrome) -> None:
    hub = domains_hub
    assert f"aidp hub is ready: http://hub.localhost:{hub.port}/" in hub.printed
    page = sign_in(chrome, hub, "ana", hub.password)
    page.wait_for_url(f"http://ana.hub.localhost:{hub.port}/user/ana/lab**")
    wait_for_lab(page)
    new_notebook(page)
    page.keyboard.insert_text("6 * 7")
    expect(run(page, 0)).to_have_text("42")
    # the hub's service is asked by the server, past the proxy that goes by domains
    page.get_by_role("tab", name="Experiments", exact=True).click()
    panel = page.locator("#aidp-experiments-panel")
    expect(panel).to_contain_text(re.compile("^ExperimentsRuns appear here"), timeout=90_000)
    expect(panel.get_by_role("alert")).to_have_count(0)

    base = f"http://hub.localhost:{hub.port}"
    mine = page.evaluate(ASK, ["/user/ana/api/me", "GET"])
    assert mine.startswith("200")
    for url in (f"{base}/hub/api/user", f"{base}/hub/home", f"{base}/hub/token"):
        assert page.evaluate(ASK, [url, "GET"]) == "refused", url
    service = services.page(Settings.from_env({"AIDP_USER_DOMAINS": "on", "AIDP_HUB_PORT": str(hub.port)}))
    assert page.evaluate(ASK, [f"{service}aidp/health", "GET"]) == "refused"
    tokens = page.context.new_page()
    tokens.goto(f"{base}/hub/token")
    rows = tokens.locator("tr.token-row")
    expect(rows.first).to_be_visible()
    before = rows.count()
    # sent without reading the answer, as a form of a page's is: it comes to nothing
    page.evaluate(
        "url => fetch(url, { method: 'POST', mode: 'no-cors', credentials: 'include' }).catch(() => 0)",
        f"{base}/hub/api/users/ana/tokens",
    )
    tokens.reload()
    expect(rows).to_have_count(before)
    page.context.close()


@pytest.mark.e2e
def test_the_admins_page_is_one_click_from_the_hub_and_stops_servers(domains_hub: Hub, chrome: Chrome) -> None:
    hub = domains_hub
    password = (Path(hub.state_dir) / "admin-password").read_text().strip()
    page = sign_in(chrome, hub, "ada", password)
    page.wait_for_url(f"http://ada.hub.localhost:{hub.port}/user/ada/lab**")
    page.goto(f"http://hub.localhost:{hub.port}/hub/home")
    page.get_by_role("link", name="aidp", exact=True).click()
    page.get_by_role("heading", name="This hub now").wait_for()
    assert urlsplit(page.url).hostname == "aidp--service.hub.localhost"
    row = page.locator("#users tbody tr", has_text="ana")
    row.get_by_role("button", name="Stop ana").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(page.get_by_text("The server of ana is stop")).to_be_visible(timeout=60_000)
    page.context.close()
