"""What users may choose at the start of a server, as a file or the defaults say it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from jupyterhub.spawner import SpawnException

from hub_config import profiles
from hub_config.profiles import Profile
from hub_config.settings import SettingsError
from tests.hub.browser import Answer, Browser
from tests.hub.process import Hub

GB = 1024**3


def read(tmp_path: Path, text: str) -> tuple[Profile, ...]:
    path = tmp_path / "profiles.toml"
    path.write_text(text)
    return profiles.from_env({"AIDP_PROFILES": str(path)})


def test_by_default_there_is_one_without_a_gpu_and_one_with_it():
    cpu, gpu = profiles.from_env({})
    assert (cpu.name, cpu.gpu, cpu.memory, cpu.cpus) == ("cpu", False, 4 * GB, 2.0)
    assert (gpu.name, gpu.gpu) == ("gpu", True)
    assert gpu.size == "4 GB memory · 2 CPUs · GPU"


def test_memory_and_cpus_are_the_defaults_of_every_profile(tmp_path):
    cpu, _ = profiles.from_env({"AIDP_MEMORY": "1.5 GB", "AIDP_CPUS": "0.5"})
    assert (cpu.memory, cpu.cpus) == (int(1.5 * GB), 0.5)
    (tmp_path / "p.toml").write_text('[[profiles]]\nname = "a"\n[[profiles]]\nname = "b"\ncpus = 8\n')
    a, b = profiles.from_env({"AIDP_PROFILES": str(tmp_path / "p.toml"), "AIDP_MEMORY": "8G", "AIDP_CPUS": "1"})
    assert (a.memory, a.cpus, b.memory, b.cpus) == (8 * GB, 1, 8 * GB, 8)


def test_a_file_says_all_of_a_profile(tmp_path):
    (large,) = read(
        tmp_path,
        '[[hub.profiles]]\nname = "large"\ntitle = "Large"\ndescription = "For a lot."\ngpu = "A100"\n'
        'memory = "64G"\ncpus = 16\nimage = "registry.example.org/lab:2"\n',
    )
    assert large == Profile("large", "Large", "For a lot.", "A100", 64 * GB, 16.0, "registry.example.org/lab:2")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no profile"),
        ("profiles = 3", "has no profile"),
        ("[[hub.profiles]", "is no TOML"),
        ('[[hub.profiles]]\ntitle = "x"', "profile 1: `name`"),
        ('[[hub.profiles]]\nname = "Large One"', "`name` takes small letters"),
        ('[[hub.profiles]]\nname = "a"\n[[hub.profiles]]\nname = "a"', "two profiles that are called 'a'"),
        ('[[hub.profiles]]\nname = "a"\nmem = "4G"', "has 'mem', which is none of"),
        ('[[hub.profiles]]\nname = "a"\nmemory = "4 apples"', "`memory` is '4 apples'; it takes a size such as \"4G\""),
        ('[[hub.profiles]]\nname = "a"\nmemory = "100M"', "512 MB or more"),
        ('[[hub.profiles]]\nname = "a"\nmemory = true', "`memory` is 'True'"),
        ('[[hub.profiles]]\nname = "a"\ncpus = 0', "`cpus` is '0'"),
        ('[[hub.profiles]]\nname = "a"\ncpus = "nan"', "`cpus` is 'nan'"),
        ('[[hub.profiles]]\nname = "a"\ngpu = 2', "`gpu` takes true, false"),
        ('[[hub.profiles]]\nname = "a"\nimage = 1', "`image` takes a text"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_place(tmp_path, text, says):
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    assert says in caught.value.message
    assert "AIDP_PROFILES" in caught.value.message


@pytest.mark.parametrize("variable", ["AIDP_MEMORY", "AIDP_CPUS", "AIDP_PROFILES"])
def test_a_variable_that_makes_no_sense_is_named(variable):
    with pytest.raises(SettingsError, match=variable):
        profiles.from_env({variable: "/no/such"})


def test_those_with_a_gpu_are_offered_where_there_is_one():
    both = profiles.from_env({})
    assert [each.name for each in profiles.offered(both, gpus=True)] == ["cpu", "gpu"]
    assert [each.name for each in profiles.offered(both, gpus=False)] == ["cpu"]
    assert profiles.offered(both[1:], gpus=False) == both[1:], "then the start says that there is none"


def test_the_choice_reaches_the_spawner_and_the_first_is_the_default():
    both, spawner = profiles.from_env({}), SimpleNamespace()
    apply = profiles.choice_of(both)
    apply(spawner, {})
    assert spawner.profile.name == "cpu"
    apply(spawner, profiles.options_from_form({"profile": ["gpu"]}))
    assert spawner.profile.name == "gpu"
    assert profiles.options_from_form({"other": ["x"]}) == {}


@pytest.mark.parametrize("options", [{"profile": "huge"}, {"profile": ["cpu"]}, {"profile": 7}, {"image": "busybox"}])
def test_what_is_not_offered_is_refused(options):
    spawner = SimpleNamespace(orm_spawner=SimpleNamespace(user_options=options))
    with pytest.raises(SpawnException) as caught:
        profiles.choice_of(profiles.from_env({}))(spawner, options)
    assert spawner.orm_spawner.user_options is None, "an admin may have taken it away; the next start has the first"
    assert caught.value.status_code == 400
    assert "cpu, gpu" in caught.value.message or "profile" in caught.value.message


def test_what_is_refused_is_neither_kept_nor_the_next_starts_default(start_hub: Callable[..., Hub]):
    hub = start_hub(AIDP_GPU="off")
    ana = Browser(hub.url)
    ana.sign_in("ana", hub.password)
    ana.token = ana.api_token("ana")
    server, long = "hub/api/users/ana/server", "x" * 1_000_000

    def kept() -> list[str | None]:
        with closing(sqlite3.connect(hub.state_dir / "jupyterhub.sqlite")) as records:
            return [options for (options,) in records.execute("SELECT user_options FROM spawners")]

    def refused(answer: Answer) -> None:
        assert answer.status == 400, answer.text
        assert len(answer.text) < 2000

    refused(ana.open(server, body={"profile": long}))
    refused(ana.open(server, body={"profile": "cpu", long: 1}))
    refused(ana.open(server, body={"user_options": {"profile": long}}))
    refused(ana.open("hub/api/users/ana/servers/", method="PATCH", body={"user_options": {"profile": long}}))
    assert set(kept()) <= {None, "{}"}, [len(each or "") for each in kept()]
    assert ana.open("hub/api/users/ana").json()["servers"] == {}, "nothing is left that looks like a server"
    assert ana.open(server, body={}).status in (201, 202)
    assert long[:1000] not in hub.log
