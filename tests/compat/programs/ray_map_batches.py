# SPDX-License-Identifier: Apache-2.0
"""ray-map: batches in flight are bounded by `ray.wait`, errors are results, and it works under asyncio too."""

import asyncio

from ray_map import RayMap


def inverse(x: int) -> float:
    return 1 / x


rmap = RayMap(inverse, batch_size=4, max_pending=3)
print("in order:", rmap.map([1, 2, 4, 8]))
found = dict(rmap.imap(range(20), safe_exceptions=True, keep_order=False, ret_args=True, timeout=30))
print(
    "results:", len(found), "of them errors:", [repr(value) for value in found.values() if isinstance(value, Exception)]
)


async def collect() -> list[float]:
    return [value async for value in rmap.imap_async([1, 2, 5], keep_order=True)]


print("under asyncio:", asyncio.run(collect()))
