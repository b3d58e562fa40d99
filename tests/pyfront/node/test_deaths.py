# SPDX-License-Identifier: Apache-2.0
"""A death is told to who asks after it, to who asks before it, and is forgotten in the end."""

import asyncio

from shoal.node.deaths import KEPT, Deaths, actor_key, client_key
from shoal.protocol.messages import Death


def test_a_death_is_kept_under_all_its_names() -> None:
    deaths, death = Deaths(), Death(pid=5, signal=9)
    deaths.record(death, client_key(3, 1), actor_key(7))
    assert asyncio.run(deaths.describe(client_key(3, 1))) is death
    assert asyncio.run(deaths.describe(actor_key(7))) is death


def test_who_asks_early_waits() -> None:
    async def scenario() -> list[Death]:
        deaths = Deaths()
        asked = [asyncio.ensure_future(deaths.describe(client_key(3, 1))) for _ in range(2)]
        await asyncio.sleep(0)
        deaths.record(Death(pid=5), client_key(3, 1))
        return await asyncio.gather(*asked)

    assert [death.pid for death in asyncio.run(scenario())] == [5, 5]


def test_who_gives_up_does_not_give_up_for_others() -> None:
    async def scenario() -> list[Death]:
        deaths = Deaths()
        waiting = asyncio.ensure_future(deaths.describe(client_key(3, 1)))
        await asyncio.sleep(0)
        given_up = await deaths.describe(client_key(3, 1), wait_s=0.0)
        deaths.record(Death(pid=5), client_key(3, 1))
        return [given_up, await waiting]

    assert [death.pid for death in asyncio.run(scenario())] == [0, 5]


def test_who_asks_for_nobody_gets_an_empty_answer() -> None:
    assert asyncio.run(Deaths().describe(client_key(3, 1), wait_s=0.0)) == Death()


def test_the_first_record_stays() -> None:
    deaths = Deaths()
    deaths.record(Death(pid=1), actor_key(7))
    deaths.record(Death(pid=2), actor_key(7))
    assert asyncio.run(deaths.describe(actor_key(7))).pid == 1


def test_old_deaths_are_forgotten() -> None:
    deaths = Deaths()
    for index in range(KEPT + 1):
        deaths.record(Death(pid=index + 1), client_key(index, 1))
    assert asyncio.run(deaths.describe(client_key(0, 1), wait_s=0.0)) == Death()
    assert asyncio.run(deaths.describe(client_key(KEPT, 1))).pid == KEPT + 1
