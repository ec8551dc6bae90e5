"""What an admin says of the team's tracking server, and the server that comes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aidp_ext.experiments.models import Caller
from aidp_ext.experiments.proxy.gate import Asked
from aidp_ext.gateway import SettingsError
from aidp_ext.team_tracking import TeamTracking, TrackingSettings
from tests.support.postgresql import postgresql

PASSWORD = "hunter2"


def test_nothing_said_is_a_server_of_ones_own_that_teams_may_read() -> None:
    assert TrackingSettings.from_env({}) == TrackingSettings(True, "", "", "read")
    assert TrackingSettings.from_env({"AIDP_TRACKING": " ", "AIDP_TRACKING_URI": ""}).is_on


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AIDP_TRACKING", "no"),
        ("AIDP_TRACKING_TEAM_ROLE", "admin"),
        ("AIDP_TRACKING_TEAM_ROLE", "Read"),
        ("AIDP_TRACKING_URI", f"mysql://u:{PASSWORD}@h/d"),
        ("AIDP_TRACKING_URI", f"file:///data/{PASSWORD}"),
        ("AIDP_TRACKING_URI", "https://"),
        ("AIDP_TRACKING_URI", f"http://[{PASSWORD}"),
        ("AIDP_TRACKING_TOKEN", PASSWORD),
    ],
)
def test_a_wrong_value_is_named_and_no_password_shown(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        TrackingSettings.from_env({variable: value})
    assert variable in caught.value.message
    assert PASSWORD not in caught.value.message


def test_settings_do_not_show_secrets() -> None:
    settings = TrackingSettings.from_env(
        {"AIDP_TRACKING_URI": f"https://u:{PASSWORD}@mlflow.example.org", "AIDP_TRACKING_TOKEN": PASSWORD}
    )
    assert PASSWORD not in repr(settings)
    with pytest.raises(SettingsError):
        TrackingSettings.from_env({"AIDP_TRACKING_URI": "https://h", "AIDP_TRACKING_TOKEN": "a\r\nX: y"})


async def test_nothing_is_started_or_made_before_it_is_asked_for(tmp_path: Path) -> None:
    tracking = TeamTracking(TrackingSettings(), tmp_path / "service", lambda *_, **__: None)
    assert tracking.upstream().state().kind == "team"
    assert not (tmp_path / "service").exists()
    await tracking.close()
    elsewhere = TeamTracking(TrackingSettings(uri="https://mlflow.example.org"), tmp_path, lambda *_, **__: None)
    assert (elsewhere.upstream().state().kind, elsewhere.upstream().database) == ("team", None)
    await elsewhere.close()


async def test_runs_and_rights_in_a_database_server(tmp_path: Path) -> None:
    """MLflow on a real PostgreSQL, the permissions beside its tables; the password is in no argument."""
    with postgresql() as server:
        url = server.database()
        settings = TrackingSettings(uri=url)
        tracking = TeamTracking(settings, tmp_path, lambda *_, **__: None, database_url=url)
        ana, eve = Caller("ana", ("birds",)), Caller("eve", ("fish",))

        async def send(
            caller: Caller, method: str, path: str, body: object = None, query: str = ""
        ) -> tuple[int, dict]:
            asked = Asked(caller, method, f"/api/2.0/mlflow/{path}", query, {"Content-Type": "application/json"})
            raw = b"" if body is None else json.dumps(body).encode()
            async with tracking.proxy().passing(asked, raw, prefix="") as answer:
                return answer.status, json.loads(b"".join([chunk async for chunk in answer.chunks]))

        try:
            status, said = await send(ana, "POST", "experiments/create", {"name": "on a server"})
            assert status == 200, said
            id_ = said["experiment_id"]
            status, said = await send(ana, "POST", "runs/create", {"experiment_id": id_})
            assert (status, said["run"]["info"]["user_id"]) == (200, "ana")
            for caller, expected in ((ana, {"on a server"}), (eve, set())):
                _, said = await send(caller, "GET", "experiments/search", query="max_results=10")
                assert {one["name"] for one in said.get("experiments", [])} == expected
        finally:
            await tracking.close()
