"""Before a lake is used: takes a store, gives nothing, or the StoreError that names its fault.

Asked on keys of its own below `_headrace/probe/`, which it removes: that a key can be created only once,
one after the other and raced; that an upload is invisible until it is completed, and then is what was sent.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from sink.errors import StoreError
from sink.store import PART_BYTES, REQUESTS_MAX, Created, Exists, Store, together

PROBES: Final = "_headrace/probe/"
RACERS: Final = REQUESTS_MAX


async def probe(store: Store) -> None:
    """Refuse a store that does not keep what exactly once is built on.

    Suspends for about twenty requests. StoreError `store_unsafe` for what it does wrong.
    """
    name = f"{PROBES}{secrets.token_hex(8)}"
    keys = [f"{name}-{kind}" for kind in ("once", "race", "upload")]
    try:
        await _probe_once(store, keys[0])
        await _probe_race(store, keys[1])
        await _probe_upload(store, keys[2])
    finally:
        for key in keys:
            await store.delete(key)


async def _probe_once(store: Store, key: str) -> None:
    first, second = b"first", b"second"
    if not isinstance(await store.create_once(key, first), Created):
        raise _unsafe(store, "says that a fresh key exists")
    outcome = await store.create_once(key, second)
    if isinstance(outcome, Created):
        raise _unsafe(store, "overwrote an object although it was told If-None-Match: *")
    if outcome.data != first or await store.read(key) != first:
        raise _unsafe(store, "changed an object that it refused to overwrite")


async def _probe_race(store: Store, key: str) -> None:
    bids = [f"racer {number}".encode() for number in range(RACERS)]
    outcomes = await together([store.create_once(key, bid) for bid in bids])
    won = [bid for bid, outcome in zip(bids, outcomes, strict=True) if isinstance(outcome, Created)]
    if len(won) != 1:
        raise _unsafe(store, f"let {len(won)} of {RACERS} create the same key at once")
    seen = {outcome.data for outcome in outcomes if isinstance(outcome, Exists)}
    if seen != set(won) or await store.read(key) != won[0]:
        raise _unsafe(store, "showed another content than that of the one who created the key")


async def _probe_upload(store: Store, key: str) -> None:
    data = bytes(PART_BYTES) + b"the last part may be small"
    upload = await store.upload(key, data, hashlib.sha256(data).hexdigest())
    try:
        seen = {listed.key async for listed in store.list(PROBES)}
        if key in seen or await store.head(key) is not None:
            raise _unsafe(store, "shows an upload before it is completed")
        await store.complete(upload)
        head = await store.head(key)
        if head is None or head.size != len(data):
            raise _unsafe(store, f"completed an upload of {len(data)} bytes and then shows {head}")
        await store.complete(upload)
        if await store.read(key) != data:
            raise _unsafe(store, "changed the bytes of an upload, or lost it when it was completed again")
    finally:
        await store.abort(upload)


def _unsafe(store: Store, what: str) -> StoreError:
    return StoreError("store_unsafe", f"{store.url}: the store {what}; nothing was landed")
