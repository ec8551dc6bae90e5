"""However the hub ends, every process that it started ends with it."""

import json
import os
import signal
import sqlite3
import sys
from contextlib import closing

import psutil
import pytest

from aidp_ext.commands.hub import forget_processes
from hub_config import network
from hub_config.passwords import user_password
from hub_config.settings import Settings
from tests.hub.browser import Browser
from tests.hub.process import Hub, alive


def test_ctrl_c_ends_the_servers_and_their_kernels_too(start_hub):
    hub = start_hub()
    alice = Browser(hub.url)
    alice.sign_in("alice", hub.password)
    alice.start_server("alice")
    alice.token = alice.api_token("alice")
    assert alice.open("user/alice/api/kernels", body={"name": "python3"}).status == 201
    hub.find("ipykernel_launcher")
    processes = hub.processes()
    hub.signal(signal.SIGINT, group=True)
    assert hub.wait() == 0
    assert alive(processes) == []
    assert "Stopping the hub" in hub.printed


def test_a_stop_signal_to_the_command_alone_ends_everything(start_hub):
    hub = start_hub()
    processes = hub.processes()
    hub.signal(signal.SIGTERM)
    assert hub.wait() == 0
    assert alive(processes) == []


def test_a_stop_while_it_starts_ends_everything(tmp_path):
    hub = Hub(tmp_path / "starting")
    try:
        while not hub.log:  # JupyterHub has begun to speak, and cannot yet end itself in order
            assert hub.process.poll() is None
        processes = hub.processes()
        hub.signal(signal.SIGINT)
        assert hub.wait() == 0
        assert alive(processes) == []
        assert not (tmp_path / "starting" / "password").exists()  # nobody has seen it
    finally:
        hub.close()


def test_a_second_ctrl_c_does_not_wait(start_hub):
    hub = start_hub()
    processes = hub.processes()
    hub.find("aidp_ext.hubservice").suspend()  # a part that would hold up the end for a minute
    hub.signal(signal.SIGINT)
    hub.read("Ctrl-C again")
    hub.signal(signal.SIGINT)
    assert hub.wait() == 0
    assert alive(processes) == []


def test_a_crashed_hub_leaves_nothing_and_says_so(start_hub):
    hub = start_hub()
    processes = hub.processes()
    hub.find("-m jupyterhub -f").kill()
    assert hub.wait() == 1
    assert alive(processes) == []
    assert "aidp: hub_failed: " in hub.errors.read_text()


def test_a_killed_command_takes_the_hub_with_it(start_hub):
    hub = start_hub()
    processes = hub.processes()
    hub.signal(signal.SIGKILL)
    hub.wait()
    psutil.wait_procs(processes[1:], timeout=60)
    assert alive(processes) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a crashed hub's servers live on, to be found again")
def test_process_numbers_of_an_earlier_hub_are_forgotten(tmp_path):
    settings = Settings(state_dir=tmp_path)
    network.proxy_pid(settings).write_text(str(os.getpid()))
    with closing(sqlite3.connect(network.database(settings))) as records, records:
        records.execute("CREATE TABLE spawners (state TEXT)")
        records.execute("INSERT INTO spawners VALUES (?)", [json.dumps({"pid": os.getpid()})])
        records.execute("INSERT INTO spawners VALUES (?)", ['{"object_id": "a container\'s"}'])
    forget_processes(settings)
    assert not network.proxy_pid(settings).exists()
    with closing(sqlite3.connect(network.database(settings))) as records:
        assert records.execute("SELECT state FROM spawners").fetchall() == [
            (None,),
            ('{"object_id": "a container\'s"}',),
        ]


def test_a_password_that_is_there_stays_and_is_not_shown_again(start_hub, tmp_path):
    (tmp_path / "state").mkdir()
    password = user_password(Settings(state_dir=tmp_path / "state")).make()
    hub = start_hub(terminal=True)
    assert password not in hub.printed
    assert str(tmp_path / "state" / "password") in hub.printed
    assert Browser(hub.url).sign_in("alice", password).status == 200


def test_a_new_password_ends_every_session_of_the_old_one(start_hub):
    hub = start_hub()
    alice = Browser(hub.url)
    alice.sign_in("alice", hub.password)
    token, old = alice.api_token("alice"), hub.password
    hub.signal(signal.SIGINT)
    hub.wait()

    again = start_hub("--new-password")
    assert again.password != old
    assert again.printed.count(again.password) == 1
    assert old not in again.printed
    alice.base = again.url
    assert "/hub/login" in alice.open("hub/home").url
    assert Browser(again.url, token).open("hub/api/user").status == 403
    assert Browser(again.url).sign_in("alice", old).status == 403
    assert Browser(again.url).sign_in("alice", again.password).status == 200
