"""The queue before a local model server."""

from __future__ import annotations

import asyncio

import pytest

from aidp_ext.ai.slots import Slots
from aidp_ext.core.errors import Superseded


async def waiting(slots: Slots, count: int) -> None:
    while slots.waiting != count:
        await asyncio.sleep(0)


async def test_completion_goes_ahead_of_chat_and_chat_in_its_order() -> None:
    slots, order = Slots(1), []
    first = await slots.acquire()

    async def ask(name: str, is_urgent: bool) -> None:
        release = await slots.acquire(is_urgent=is_urgent)
        order.append(name)
        release()

    tasks = []
    for number, (name, is_urgent) in enumerate([("chat 1", False), ("chat 2", False), ("completion", True)], start=1):
        tasks.append(asyncio.create_task(ask(name, is_urgent)))
        await waiting(slots, number)
    first()
    await asyncio.gather(*tasks)
    assert order == ["completion", "chat 1", "chat 2"]
    assert (slots.busy, slots.waiting) == (0, 0)


async def test_a_newer_completion_takes_the_place_of_an_older_one_that_waits() -> None:
    slots = Slots(1)
    held = await slots.acquire(key="cell")  # under way: stays
    older = asyncio.create_task(slots.acquire(is_urgent=True, key="cell"))
    await waiting(slots, 1)
    other = asyncio.create_task(slots.acquire(is_urgent=True, key="another cell"))
    await waiting(slots, 2)
    newer = asyncio.create_task(slots.acquire(is_urgent=True, key="cell"))
    with pytest.raises(Superseded):
        await older
    held()
    (await other)()
    (await newer)()
    assert (slots.busy, slots.waiting) == (0, 0)


async def test_who_is_cancelled_takes_no_place_with_them() -> None:
    slots = Slots(1)
    held = await slots.acquire()
    gone = asyncio.create_task(slots.acquire())
    await waiting(slots, 1)
    given_and_gone = asyncio.create_task(slots.acquire())
    await waiting(slots, 2)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    held()  # the turn goes to the second, which is cancelled before it runs
    given_and_gone.cancel()
    await asyncio.gather(given_and_gone, return_exceptions=True)
    assert slots.busy == 0
    held()
    assert slots.busy == 0, "giving back twice counts once"
    await slots.acquire()


async def test_without_a_limit_nobody_waits() -> None:
    slots = Slots(None)
    releases = [await slots.acquire() for _ in range(100)]
    assert slots.busy == 100
    for release in releases:
        release()
    assert slots.busy == 0
