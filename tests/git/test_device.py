"""Signing in by a code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from aidp_ext.core.errors import InvalidRequest, UpstreamInvalid, UpstreamRejected, UpstreamUnreachable
from aidp_ext.core.http import HttpClient
from aidp_ext.git.remotes import DeviceFlow
from tests.support.git_http import GitHttpServer
from tests.support.github_sign_in import CLIENT_ID, GithubSignIn


class Clock:
    """A clock that goes when a test says so; the forge and the flow look at the same one."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def forge(tmp_path: Path, clock: Clock) -> Iterator[GithubSignIn]:
    with GitHttpServer(tmp_path) as git:
        yield GithubSignIn(git, clock=clock)


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient(connect_timeout_s=2)
    yield client
    await client.close()


@pytest.fixture
def flow(forge: GithubSignIn, http: HttpClient, clock: Clock) -> DeviceFlow:
    return DeviceFlow(forge.url, CLIENT_ID, http, clock=clock)


async def test_a_code_is_entered_and_a_token_comes(flow: DeviceFlow, forge: GithubSignIn, clock: Clock) -> None:
    code = await flow.start()
    assert code.verification_uri == f"{forge.url}/login/device"
    assert (code.interval_s, code.expires_in_s) == (5, 900)
    clock.now += 5
    assert (await flow.poll()).state == "waiting"
    forge.approve(code.user_code, "ana")
    clock.now += 5
    done = await flow.poll()
    assert done.state == "done"
    assert done.token is not None
    assert forge.git.login_of(done.token.value) == "ana"
    assert done.token.expires_at is None
    assert done.token.value not in repr(done)
    assert await flow.poll() == done  # and the forge is not asked again
    assert len(forge.asked("POST", "access_token")) == 2


async def test_a_token_that_ends_comes_with_one_to_refresh_it(
    flow: DeviceFlow, forge: GithubSignIn, clock: Clock
) -> None:
    forge.ttl_s = 28800
    forge.approve((await flow.start()).user_code, "ana")
    clock.now += 5
    done = await flow.poll()
    assert done.token is not None and done.token.expires_at is not None
    assert done.refresh_token is not None and done.refresh_token not in repr(done)


async def test_the_forge_is_not_asked_sooner_than_it_says(flow: DeviceFlow, forge: GithubSignIn, clock: Clock) -> None:
    await flow.start()
    for _ in range(10):
        assert (await flow.poll()).state == "waiting"
        clock.now += 0.4
    assert not forge.asked("POST", "access_token")


async def test_told_to_slow_down_it_waits_longer(flow: DeviceFlow, forge: GithubSignIn, clock: Clock) -> None:
    await flow.start()
    next(iter(forge.devices.values())).next += 2  # the forge's clock is behind
    clock.now += 5
    slowed = await flow.poll()
    assert (slowed.state, slowed.interval_s) == ("waiting", 10)
    clock.now += 5
    await flow.poll()
    assert len(forge.asked("POST", "access_token")) == 1
    clock.now += 5
    assert (await flow.poll()).state == "waiting"
    assert len(forge.asked("POST", "access_token")) == 2


async def test_who_says_no_is_not_signed_in(flow: DeviceFlow, forge: GithubSignIn, clock: Clock) -> None:
    forge.deny((await flow.start()).user_code)
    clock.now += 5
    assert (await flow.poll()).state == "denied"


async def test_a_code_ends(flow: DeviceFlow, forge: GithubSignIn, clock: Clock) -> None:
    code = await flow.start()
    forge.expire(code.user_code)
    clock.now += 5
    assert (await flow.poll()).state == "expired"
    await flow.start()
    clock.now += 901
    assert (await flow.poll()).state == "expired"
    assert len(forge.asked("POST", "access_token")) == 1


async def test_an_app_that_may_not_says_what_to_do(forge: GithubSignIn, http: HttpClient, flow: DeviceFlow) -> None:
    with pytest.raises(UpstreamRejected, match="Not Found") as refused:
        await DeviceFlow(forge.url, "another", http).start()
    assert refused.value.next_step == "Check the client id that is configured."
    forge.device_enabled = False
    with pytest.raises(UpstreamRejected, match="explicitly enabled") as refused:
        await flow.start()
    assert "Switch the device flow on" in str(refused.value.next_step)


async def test_a_poll_before_the_start(flow: DeviceFlow) -> None:
    with pytest.raises(InvalidRequest):
        await flow.poll()


async def test_what_is_no_forge_is_told(forge: GithubSignIn, flow: DeviceFlow) -> None:
    forge.fail("POST", "device/code", 200, b"<html>Welcome</html>")
    with pytest.raises(UpstreamInvalid):
        await flow.start()
    forge.fail("POST", "device/code", 200, {"device_code": "x", "user_code": "y", "verification_uri": "javascript:1"})
    with pytest.raises(UpstreamInvalid):
        await flow.start()
    forge.fail("POST", "device/code", 503, {"error": "busy"})
    with pytest.raises(UpstreamRejected, match="503"):
        await flow.start()


async def test_a_poll_that_fails_can_be_done_again(flow: DeviceFlow, forge: GithubSignIn, clock: Clock) -> None:
    forge.approve((await flow.start()).user_code, "ana")
    clock.now += 5
    forge.git.down = True
    with pytest.raises(UpstreamUnreachable):
        await flow.poll()
    forge.git.down = False
    clock.now += 5
    assert (await flow.poll()).state == "done"
