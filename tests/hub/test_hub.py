"""A real JupyterHub with its proxy, the service and a user's server, through `aidp hub`."""

import re
import stat

from aidp_ext.live import LEADS
from tests.hub.browser import Browser
from tests.hub.conftest import ORGANIZATION_KEY
from tests.hub.process import Hub, run_to_end


def test_the_first_start_shows_the_password_on_the_terminal_once(hub: Hub):
    assert hub.printed.count(hub.password) == 1
    assert hub.printed.startswith(f"aidp hub is ready: {hub.url}")


def test_what_the_hub_keeps_is_its_owners_only(hub: Hub):
    assert stat.S_IMODE(hub.state_dir.stat().st_mode) == 0o700
    for path in (p for p in hub.state_dir.iterdir() if p.is_file()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_wrong_password_is_refused(hub: Hub):
    answer = Browser(hub.url).sign_in("mallory", "password")
    assert answer.status == 403
    assert "Invalid username or password" in answer.text


def test_the_shared_password_makes_nobody_an_administrator(hub: Hub):
    assert Browser(hub.url).sign_in("ada", hub.password).status == 403


def test_an_administrator_has_a_password_of_their_own(hub: Hub):
    ada = Browser(hub.url)
    password = (hub.state_dir / "admin-password").read_text().strip()
    assert ada.sign_in("ada", password).url == f"{hub.url}hub/home"
    ada.token = ada.api_token("ada")
    assert ada.open("hub/api/user").json()["admin"] is True
    assert Browser(hub.url).sign_in("bob", password).status == 403


def test_a_name_that_leaves_the_homes_folder_is_refused(hub: Hub):
    assert Browser(hub.url).sign_in("../ada", hub.password).status == 403


def test_signing_in_leads_to_a_server_that_serves_lab(hub: Hub, alice: Browser):
    assert "version" in alice.open("user/alice/api").json()
    lab = alice.open("user/alice/")
    assert (lab.status, lab.url) == (200, f"{hub.url}user/alice/lab")
    assert "<title>JupyterLab</title>" in lab.text


def test_a_new_user_finds_the_example(alice: Browser):
    names = {entry["name"] for entry in alice.open("user/alice/api/contents/examples").json()["content"]}
    assert {"penguins.ipynb", "penguins.csv"} <= names


def test_all_that_a_server_writes_stays_in_its_users_home(hub: Hub, alice: Browser):
    home = hub.state_dir / "homes" / "alice"
    server = hub.find("jupyterhub.singleuser").environ()
    assert server["HOME"] == str(home)
    led = [name for name in server if name.startswith(("JUPYTER_", "XDG_", "IPYTHON"))]
    assert set(led) <= set(LEADS), "but where live editing is read from, see aidp_ext/live.py"


def test_a_server_knows_its_service_and_no_key(hub: Hub, alice: Browser):
    server = hub.find("jupyterhub.singleuser").environ()
    assert server["AIDP_SERVICE_URL"] == f"{hub.url}services/aidp/"
    assert server["OLLAMA_HOST"] == "http://127.0.0.1:9"
    assert ORGANIZATION_KEY not in server.values()
    assert hub.find("aidp_ext.hubservice").environ()["OPENAI_API_KEY"] == ORGANIZATION_KEY
    # the proxy is what strangers talk to
    assert ORGANIZATION_KEY not in hub.find("configurable-http-proxy").environ().values()


def test_a_server_may_use_the_service(hub: Hub, alice: Browser):
    token = hub.find("jupyterhub.singleuser").environ()["JUPYTERHUB_API_TOKEN"]
    scopes = set(Browser(hub.url, token).open("hub/api/user").json()["scopes"])
    assert {f"custom:aidp:{action}" for action in ("read", "write", "execute")} <= scopes
    assert "access:services!service=aidp" in scopes
    assert Browser(hub.url, token).open("services/aidp/aidp/health").status == 200


def test_the_service_answers_its_health_through_the_hub(hub: Hub, alice: Browser):
    assert Browser(hub.url).open("services/aidp/aidp/health").status in (401, 403)
    assert Browser(hub.url, alice.api_token("alice")).open("services/aidp/aidp/health").status == 200


def test_a_home_that_cannot_be_made_is_said_to_its_user(hub: Hub, alice: Browser):
    (hub.state_dir / "homes" / ".carol.new").write_text("in the way")
    carol = Browser(hub.url)
    carol.sign_in("carol", hub.password)
    carol.token = carol.api_token("carol")
    answer = carol.open("hub/api/users/carol/server", method="POST")
    assert answer.status == 500
    assert "Your home folder could not be made" in answer.json()["message"]


def test_one_user_cannot_reach_anothers_server(hub: Hub, alice: Browser):
    bob = Browser(hub.url)
    bob.sign_in("bob", hub.password)
    assert bob.open("user/alice/lab").status == 403
    bob.token = bob.api_token("bob")
    assert bob.open("user/alice/api/contents").status == 403
    assert bob.open("hub/api/users/alice").status in (403, 404)


def test_the_private_parts_listen_on_loopback_only(hub: Hub, alice: Browser):
    listening = [c for p in hub.processes() for c in p.net_connections("tcp") if c.status == "LISTEN"]
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_a_second_hub_does_not_take_the_same_state(hub: Hub):
    answer = run_to_end(hub.state_dir)
    assert (answer.returncode, answer.stderr[:20]) == (2, "aidp: state_in_use: ")


def test_nothing_secret_is_in_a_log_an_argument_or_the_database(hub: Hub, alice: Browser):
    secrets = [hub.password, (hub.state_dir / "admin-password").read_text().strip(), ORGANIZATION_KEY]
    secrets += [hub.find("jupyterhub.singleuser").environ()["JUPYTERHUB_API_TOKEN"]]
    written = [p.read_bytes() for p in hub.state_dir.iterdir() if re.match(r"hub\.log|jupyterhub\.sqlite", p.name)]
    written += [" ".join(p.cmdline()).encode() for p in hub.processes()]
    for secret in secrets:
        assert not [text for text in written if secret.encode() in text]
    for process in hub.processes():
        assert not set(secrets[:2]) & set(process.environ().values())
