"""What the engine is asked for a user's container, and what its refusals say to the user, without an engine."""

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from docker import APIClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from jupyterhub import orm
from jupyterhub.objects import Hub
from jupyterhub.spawner import SpawnException
from traitlets.config import Config

from aidp_ext.commands import check_engine, hub_engine
from hub_config import failures, guard, network, profiles, spawner
from hub_config.container_settings import ContainerSettings, Project, folder_of
from hub_config.containers import Containers, create_options, host_options
from hub_config.engine import Engine, EngineFault
from hub_config.network import Reach
from hub_config.settings import Gateway, GitHub, Settings, SettingsError

GITHUB = GitHub("an-id", "a-secret", organizations=frozenset({"acme"}))


def containers(**given: Any) -> ContainerSettings:
    return ContainerSettings(spawner="docker", **given)


def make(settings: ContainerSettings, *groups: str, name: str = "", user: str = "ana") -> Containers:
    """A spawner as JupyterHub makes it, for a user in some groups."""
    c = Config()
    c.Containers.settings = settings
    c.DockerSpawner.name_template = "{prefix}-{username}--{servername}"
    c.DockerSpawner.prefix = settings.prefix
    person = SimpleNamespace(name=user, groups=[SimpleNamespace(name=group) for group in groups], url="/user/ana/")
    made = Containers(config=c, user=person, hub=Hub())
    made.orm_spawner = SimpleNamespace(name=name, server=None)
    made.profile = profiles.Profile("cpu", "Notebooks", memory=2 * 1024**3, cpus=1.5)
    made.mem_limit = made.profile.memory
    return made


def payload(made: Containers) -> dict[str, Any]:
    """The host's part of the request, as docker-py writes it down."""
    return json.loads(json.dumps(APIClient(version="1.41").create_host_config(**host_options(made))))


def test_a_container_may_as_little_as_can_be():
    host = payload(make(containers()))
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert "CapAdd" not in host and "Privileged" not in host
    assert host["SecurityOpt"] == ["no-new-privileges:true"], "nothing that turns seccomp or AppArmor off"
    assert host["PidsLimit"] == 1024
    assert host["MemorySwap"] == 2 * 1024**3
    assert host["Init"] is True
    assert set(host["Tmpfs"]) == {"/tmp", "/run"}
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "5m", "max-file": "2"}}
    assert "DeviceRequests" not in host and "Binds" not in host
    assert create_options(make(containers()))["user"] == "1000:100", "whatever an image says"


def test_a_leased_gpu_is_the_one_that_is_asked_for():
    made = make(containers())
    assert made.get_env()["NVIDIA_VISIBLE_DEVICES"] == "void"
    made.gpu = "MIG-41b35df6"
    (request,) = payload(made)["DeviceRequests"]
    assert (request["Driver"], request["DeviceIDs"], request["Capabilities"]) == ("nvidia", ["MIG-41b35df6"], [["gpu"]])
    assert request["Count"] == 0
    assert "NVIDIA_VISIBLE_DEVICES" not in made.get_env()


def test_no_two_servers_share_a_container_or_a_home():
    servers = [("ana", ""), ("ana", "b"), ("ana-b", ""), ("ana-", "b"), ("ana", "-b"), ("ana.b", ""), ("ana--b", "")]
    names = {make(containers(), user=user, name=name).object_name for user, name in servers}
    assert len(names) == len(servers)
    homes = set()
    for user in ("ana", "ana-b", "ana.b", "ana-2db"):
        made = make(containers(), user=user)
        made.volumes, _ = made._volumes()
        homes |= set(made.volume_binds)
    assert len(homes) == 4


def test_a_home_is_the_users_and_projects_are_their_groups():
    settings = containers(
        prefix="team",
        projects={"*": Project("datasets", read_only=True), "acme:ml": Project("ml"), "law": Project("/srv/law")},
    )
    made = make(settings, "acme:ml")
    made.volumes, made.read_only_volumes = made._volumes()
    assert made.volume_binds == {
        "team-home-ana": {"bind": "/home/jovyan", "mode": "rw"},
        "ml": {"bind": "/home/jovyan/projects/acme-ml", "mode": "rw"},
        "datasets": {"bind": "/home/jovyan/projects/shared", "mode": "ro"},
    }


@pytest.mark.parametrize(
    ("text", "projects"),
    [
        ("ml", {"ml": Project("aidp-project-ml")}),
        ("acme:ml=vol:ro, law=/srv/law", {"acme:ml": Project("vol", True), "law": Project("/srv/law")}),
        ("*=datasets:ro", {"*": Project("datasets", True)}),
        ("a=data,b=data:ro", {"a": Project("data"), "b": Project("data", True)}),
    ],
)
def test_projects_are_read(text, projects):
    assert ContainerSettings.from_env({"AIDP_PROJECT_VOLUMES": text}).projects == projects


def test_two_hubs_on_an_engine_do_not_share_the_volumes_of_their_groups():
    settings = ContainerSettings.from_env({"AIDP_PROJECT_VOLUMES": "ml", "AIDP_DOCKER_PREFIX": "lab"})
    assert settings.projects == {"ml": Project("lab-project-ml")}


@pytest.mark.parametrize(
    "text", ["acme:ml-ops,acme-ml:ops", "acme:ml=one,acme-ml=two:ro", "*,shared", "ml,ml=other", "*,*"]
)
def test_no_two_groups_share_a_folder_without_a_word(text):
    with pytest.raises(SettingsError, match=r"AIDP_PROJECT_VOLUMES.* would share the folder projects/"):
        ContainerSettings.from_env({"AIDP_PROJECT_VOLUMES": text})


@pytest.mark.parametrize("source", ["/", "/var/run", "/var", "/var/run/docker.sock", "/run/docker.sock", "../x", "a b"])
def test_no_project_leads_to_the_engine(source):
    with pytest.raises(SettingsError, match="AIDP_PROJECT_VOLUMES"):
        ContainerSettings.from_env({"AIDP_PROJECT_VOLUMES": f"ml={source}"})


@pytest.mark.parametrize("group", ["acme:ml", "a/../b", "..", "*", " x "])
def test_a_groups_folder_is_one_plain_name(group):
    assert "/" not in folder_of(group) and folder_of(group) not in ("", ".", "..")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AIDP_SPAWNER", "kubernetes"),
        ("AIDP_LAB_IMAGE", "a b"),
        ("AIDP_LAB_GPU_IMAGE", "-x"),
        ("AIDP_DOCKER_NETWORK", "a/b"),
        ("AIDP_DOCKER_PREFIX", "-"),
        ("AIDP_EGRESS", "some"),
        ("AIDP_METADATA", "off"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(variable, value):
    with pytest.raises(SettingsError, match=variable):
        ContainerSettings.from_env({variable: value})


def test_a_hub_that_others_reach_does_not_run_processes():
    env = {
        "GITHUB_CLIENT_ID": "Iv1.0123456789abcdef",
        "GITHUB_CLIENT_SECRET": "7f3a9c1e5b2d8f4a6c0e9b3d7f1a5c8e2b4d6f90",
        "GITHUB_ALLOWED_ORGANIZATIONS": "acme",
        "AIDP_HUB_HOST": "0.0.0.0",
        "AIDP_SPAWNER": "local",
    }
    with pytest.raises(SettingsError, match="AIDP_SPAWNER"):
        Settings.from_env(env)
    assert Settings.from_env({**env, "AIDP_SPAWNER": "docker"}).containers.spawner == "docker"


def configured(settings: Settings) -> Config:
    c = Config()
    network.apply(c, settings)
    spawner.apply(c, settings)
    return c


def test_with_containers_the_hub_is_where_they_reach_it_and_leaves_them_be(tmp_path):
    settings = Settings(
        state_dir=tmp_path,
        containers=containers(network="lab", prefix="lab"),
        user_environment={"OLLAMA_HOST": "http://127.0.0.1:11434", "AIDP_AI_MODE": "hybrid"},
    )
    with pytest.raises(SettingsError, match="aidp hub"):
        configured(settings)
    Reach("172.30.0.1", 8081, 8082).write(network.reach_file(settings))
    c = configured(settings)
    assert c.JupyterHub.hub_bind_url == "http://172.30.0.1:8081/"
    assert c.ConfigurableHTTPProxy.api_url.startswith("http://127.0.0.1:")
    assert c.JupyterHub.cleanup_servers is False
    assert c.DockerSpawner.network_name == "lab"
    assert c.DockerSpawner.pull_policy == "never"
    assert c.Spawner.environment == {
        "AIDP_AI_MODE": "hybrid",
        "AIDP_SERVICE_URL": "http://172.30.0.1:8082/services/aidp/",
    }
    assert "--allow-root" not in c.Spawner.args


@pytest.mark.parametrize(
    ("where", "seen"),
    [
        ("http://10.0.0.7:9000", "http://10.0.0.7:9000/services/aidp/"),
        ("http://127.0.0.1:9000", "http://172.30.0.1:8000/services/aidp/"),
    ],
)
def test_a_gateway_that_others_run_is_reached_where_it_is_or_through_the_proxy(tmp_path, where, seen):
    gateway = Gateway(where, "t" * 32)
    settings = Settings(host="0.0.0.0", state_dir=tmp_path, github=GITHUB, containers=containers(), gateway=gateway)
    Reach("172.30.0.1", 8081, 8082).write(network.reach_file(settings))
    assert configured(settings).Spawner.environment["AIDP_SERVICE_URL"] == seen


def refusal(status: int, words: str) -> APIError:
    response = requests.Response()
    response.status_code = status
    return APIError("refused", response=response, explanation=words)


@pytest.mark.parametrize(
    ("error", "reason", "says"),
    [
        (DockerException("Error while fetching server API version"), "engine-down", "start Docker"),
        (requests.exceptions.ConnectionError("reset"), "engine-down", "aidp hub check"),
        (ImageNotFound("No such image: aidp-lab"), "image-missing", "The image aidp-lab is not on this machine"),
        (
            refusal(500, 'could not select device driver "nvidia" with capabilities: [[gpu]]'),
            "gpu-runtime-missing",
            "Start without a GPU",
        ),
        (NotFound("network aidp-users not found"), "network-missing", "The network aidp-users is missing"),
        (refusal(500, "write /var/lib/x: no space left on device"), "disk-full", "disk of this machine is full"),
        (refusal(500, "container init was OOM-killed (memory limit too low?)"), "out-of-memory", "its limit, 2 GB"),
        (TimeoutError(), "timeout", "took longer than 60 seconds"),
        (refusal(409, 'The container name "/aidp-ana--" is already in use by'), "name-taken", "AIDP_DOCKER_PREFIX"),
        (refusal(409, "something else"), "engine-error", "see the hub's log"),
        (refusal(500, "something new"), "engine-error", "see the hub's log"),
    ],
)
def test_a_refusal_says_what_to_do(error, reason, says):
    made = make(containers())
    made.image = "aidp-lab"
    said = failures.explain(error, made)
    assert isinstance(said, SpawnException)
    assert said.reason == reason
    assert says in said.message
    assert "/var/lib" not in said.message, "the engine's own words are for the log"


def test_what_a_spawn_refused_before_stays_as_it_is():
    error = SpawnException("All are taken.", reason="gpu-busy", status_code=409)
    assert failures.explain(error, make(containers())) is error


@pytest.mark.parametrize(
    ("state", "log", "reason", "says"),
    [
        ({"OOMKilled": True, "ExitCode": 137}, "", "out-of-memory", "more memory than its limit, 2 GB"),
        ({"ExitCode": 1}, "OSError: [Errno 28] No space left on device", "disk-full", "its disk is full"),
        ({"ExitCode": 3}, "secret=1 Traceback …", "server-ended", "with status 3"),
    ],
)
def test_a_server_that_ends_as_it_starts_says_why(state, log, reason, says):
    said = failures.ended_at_start({"State": state, "HostConfig": {"Memory": 2 * 1024**3}}, log, make(containers()))
    assert said.reason == reason
    assert says in said.message
    assert "Traceback" not in said.message


class FakeEngine:
    """What an engine answers to the calls of one spawner, and whether the container is there and runs."""

    def __init__(self, made: Containers, monkeypatch: pytest.MonkeyPatch, **labels: str) -> None:
        self.calls: list[str] = []
        self.faults: dict[str, list[Exception]] = {}
        self.there = self.runs = True
        self.labels = labels or {"org.aidp.hub": "aidp"}
        made.remove, made.pull_policy = True, "never"
        monkeypatch.setattr(made, "docker", self.call)
        monkeypatch.setattr(Containers, "client", APIClient(version="1.41"))  # it writes requests, and sends none

    async def call(self, method: str, *_: object, **options: object) -> object:
        self.calls.append(method)
        if left := self.faults.get(method):
            raise left.pop(0)
        if method == "inspect_image":
            return {"Config": {"Cmd": ["start-lab"]}}
        if method == "create_container":
            if self.there:
                raise refusal(409, 'Conflict. The container name "/aidp-ana--" is already in use by container "c1"')
            self.there = True
            return {"Id": "c2"}
        if not self.there:
            raise NotFound("No such container", response=refusal(404, "").response)
        if method == "stop":
            self.runs = False
        if method == "remove_container":
            if self.runs and not options.get("force"):
                raise refusal(409, "You cannot remove a running container")
            self.there = False
        state = {"Running": self.runs, "ExitCode": 1, "Error": "", "FinishedAt": "now"}
        return {"Id": "c1", "Config": {"Labels": self.labels}, "State": state}


@pytest.mark.parametrize(
    "fault",
    [
        requests.exceptions.ConnectionError("refused"),
        requests.exceptions.ReadTimeout("slow"),
        refusal(500, "layer is locked"),
        refusal(503, "busy"),
        ValueError("no JSON"),
    ],
)
async def test_an_engine_that_restarts_or_fails_ends_nobody(monkeypatch, fault):
    made = make(containers())
    engine = FakeEngine(made, monkeypatch)
    assert await made.poll() is None
    engine.faults["inspect_container"] = [fault]
    assert await made.poll() is None
    assert made.object_id == "c1", "it is still known, for a stop"
    engine.there = False
    assert await made.poll() == 0


@pytest.mark.parametrize("fault", [refusal(500, "busy"), requests.exceptions.ConnectionError("refused")])
async def test_a_server_that_has_ended_is_said_so_though_it_cannot_be_removed(monkeypatch, fault):
    made = make(containers())
    engine = FakeEngine(made, monkeypatch)
    engine.runs = False
    engine.faults["remove_container"] = [fault]
    assert str(await made.poll()).startswith("ExitCode=1")
    assert made.ended == "Your server ended by itself, with status 1."


@pytest.mark.parametrize("fault", [refusal(500, "tried to kill container"), requests.exceptions.ReadTimeout("slow")])
async def test_a_container_that_does_not_stop_is_removed_by_force(monkeypatch, fault):
    made = make(containers())
    engine = FakeEngine(made, monkeypatch)
    assert await made.poll() is None
    engine.faults["stop"] = [fault]
    await made.stop()
    assert (engine.there, made.object_id) == (False, "")


async def test_a_removal_that_is_under_way_is_waited_for(monkeypatch):
    made = make(containers())
    engine = FakeEngine(made, monkeypatch)
    assert await made.poll() is None
    engine.faults["remove_container"] = [refusal(409, "removal of container c1 is already in progress")]
    await made.stop()
    assert not engine.there
    assert engine.calls.count("remove_container") == 2


async def test_a_container_that_could_not_be_removed_stays_known(monkeypatch):
    made = make(containers())
    engine = FakeEngine(made, monkeypatch)
    assert await made.poll() is None
    engine.faults["remove_container"] = [refusal(500, "driver failed")]
    with pytest.raises(APIError):
        await made.stop()
    assert made.object_id == "c1"


async def test_a_start_replaces_what_an_earlier_stop_has_left_running(monkeypatch):
    made = make(containers())
    engine = FakeEngine(made, monkeypatch)
    engine.faults["start"] = [refusal(500, "as far as this test goes")]
    with pytest.raises(SpawnException, match="as far as this test goes"):
        await made.start()
    assert engine.calls.index("remove_container") < engine.calls.index("create_container")
    assert made.object_id == "c2"


@pytest.mark.parametrize("labels", [{"org.aidp.hub": "other"}, {"some": "label"}])
async def test_a_container_of_somebody_elses_is_left_alone(monkeypatch, labels):
    made = make(containers())
    engine = FakeEngine(made, monkeypatch, **labels)
    with pytest.raises(SpawnException) as caught:
        await made.start()
    assert caught.value.reason == "name-taken"
    assert await made.poll() == 0
    await made.stop()
    assert engine.there and engine.runs
    assert not {"stop", "remove_container"} & set(engine.calls)


async def test_a_server_is_known_by_its_id_after_the_hub_was_given_another_name(monkeypatch):
    made = make(containers(prefix="new"))
    made.load_state({"object_id": "c1", "object_name": "aidp-ana--"})
    FakeEngine(made, monkeypatch)
    assert await made.poll() is None


# --- the network and its guard


def network_like(**changed: Any) -> dict[str, Any]:
    options = {"com.docker.network.bridge.enable_icc": "false"}
    return {"Driver": "bridge", "Options": options, "Internal": False, "EnableIPv6": False, **changed}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, ""),
        ({"EnableIPv6": True}, "IPv6"),
        ({"Driver": "macvlan"}, "not a bridge"),
        ({"Options": {}}, "reach one another"),
        ({"Internal": True}, "leads nowhere"),
    ],
)
def test_a_network_that_does_not_keep_users_apart_is_refused(changed, says):
    engine = Engine.__new__(Engine)
    engine.settings = containers()
    wrong = engine.wrong_with(network_like(**changed))
    assert says in wrong and bool(wrong) == bool(says)


class Preparing(Engine):
    """An engine that is there, as far as the hub's start goes; its guard cannot be set."""

    def __init__(self, settings: ContainerSettings, *servers: tuple[str, str]) -> None:
        self.settings = settings
        labels = {"org.aidp.hub": settings.prefix}
        self.left = {name: {"Id": name, "Labels": {**labels, "org.aidp.user": user}} for name, user in servers}
        self.api = SimpleNamespace(
            containers=lambda **_: list(self.left.values()),
            remove_container=lambda name, force, v: self.left.pop(name),
        )

    def run(self, *_: object, **__: object) -> str:
        raise EngineFault("probe_failed", "A test container ended with 1: Operation not permitted", "See Docker's log.")


def test_a_hub_whose_guard_cannot_be_set_does_not_start_unless_told_to():
    with pytest.raises(EngineFault, match="Operation not permitted") as caught:
        hub_engine.ensure_guard(Preparing(containers()))
    assert caught.value.code == "metadata_unguarded"
    assert "AIDP_METADATA=unguarded" in (caught.value.next_step or "")
    assert "metadata address" in hub_engine.ensure_guard(Preparing(containers(metadata="unguarded")))
    assert hub_engine.ensure_guard(Preparing(containers(egress="none"))) == ""


@pytest.mark.parametrize(("metadata", "mark"), [("guarded", "fail"), ("unguarded", "warn")])
def test_a_check_says_that_the_guard_cannot_be_set(metadata, mark):
    (line,) = check_engine.guarded(Preparing(containers(metadata=metadata)))
    assert (line.what, line.mark) == ("guard", mark)


def records(path: Path, *servers: tuple[str, bool, dict[str, str] | None]) -> Path:
    """JupyterHub's own records: servers by their users, whether they run, and what their spawners keep."""
    session = orm.new_session_factory(f"sqlite:///{path}")()
    for user, runs, state in servers:
        person = orm.User(name=user)
        server = orm.Server(ip="172.30.0.9", port=8888) if runs else None
        session.add(orm.Spawner(user=person, name="", server=server, state=state))
    session.commit()
    session.get_bind().dispose()
    session.close()
    return path


def test_a_container_whose_server_the_hub_knows_no_more_is_ended_at_its_start(tmp_path):
    database = records(
        tmp_path / "jupyterhub.sqlite",
        ("ana", True, {"object_id": "runs"}),
        ("bob", False, {"object_id": "stop-failed"}),
        ("cem", True, None),
    )
    engine = Preparing(
        containers(),
        ("runs", "ana"),
        ("another", "ana"),
        ("stop-failed", "bob"),
        ("starts", "cem"),
        ("not-ours", "dan"),
    )
    assert hub_engine.end_strays(engine, database) == "ended 2 containers whose server had been stopped"
    assert set(engine.left) == {"runs", "starts", "not-ours"}
    assert hub_engine.end_strays(engine, database) == ""
    assert hub_engine.end_strays(engine, tmp_path / "none.sqlite") == ""
    (tmp_path / "broken.sqlite").write_text("no records")
    assert hub_engine.end_strays(engine, tmp_path / "broken.sqlite") == ""
    assert set(engine.left) == {"runs", "starts", "not-ours"}


def attributes(rule: bytes) -> dict[int, bytes]:
    """The attributes of a rule as the kernel reads them: after 12 bytes of its head, each filled up to 4."""
    found, at = {}, 12
    while at < len(rule):
        size, kind = struct.unpack_from("HH", rule, at)
        found[kind] = rule[at + 4 : at + size]
        at += size + -size % 4
    return found


def test_the_guards_rules_are_such_as_network_services_leave_alone():
    """systemd-networkd takes away rules that are not its own, but for the kernel's: FRA_PROTOCOL is RTPROT_KERNEL."""
    added = [attributes(rule) for rule in guard.rules("aidp-x", guard.KERNEL)]
    assert {rule[21] for rule in added} == {b"\x02"}
    assert {rule[3] for rule in added} == {b"aidp-x\0"}
    assert all(21 not in attributes(rule) for rule in guard.rules("aidp-x")), "an earlier release's are removed too"


def test_the_guard_adds_its_rules_once_and_takes_away_an_earlier_releases():
    old = (
        "import importlib.util as u, sys; s = u.spec_from_file_location('g', sys.argv[1]); g = u.module_from_spec(s);"
        " s.loader.exec_module(g); new = g.rules; b = 'aidp-x'; said = [g.change('add', b), g.change('add', b)];"
        " g.rules = lambda b, origin=None: new(b); said += [g.change('add', b)]; g.rules = new;"
        " print(*said, g.change('remove', b), g.change('remove', b))"
    )
    own = ("unshare", "--user", "--map-root-user", "--net")
    if not shutil.which("unshare") or subprocess.run([*own, "true"], capture_output=True).returncode:
        pytest.skip("no network of one's own can be made here")
    done = subprocess.run([*own, sys.executable, "-c", old, guard.__file__], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["9", "0", "9", "18", "0"], done.stderr
