"""What the engine is asked for a user's container, and what its refusals say to the user, without an engine."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from docker import APIClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from jupyterhub.objects import Hub
from jupyterhub.spawner import SpawnException
from traitlets.config import Config

from hub_config import failures, network, profiles, spawner
from hub_config.container_settings import ContainerSettings, Project, folder_of
from hub_config.containers import Containers, create_options, host_options
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
    ],
)
def test_projects_are_read(text, projects):
    assert ContainerSettings.from_env({"AIDP_PROJECT_VOLUMES": text}).projects == projects


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


async def test_an_engine_that_restarts_ends_nobody(monkeypatch):
    made = make(containers())

    async def away(*_: object) -> None:
        raise requests.exceptions.ConnectionError("refused")

    monkeypatch.setattr(made, "docker", away)
    assert await made.poll() is None
