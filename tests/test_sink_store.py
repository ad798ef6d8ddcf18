"""The store's contract, kept by the local directory and by S3 alike; what each does when the world is bad."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from lake_stand import S3Stand, keys, local_settings, run, uploads

from sink.errors import StoreError
from sink.settings import LakeSettings
from sink.store import PART_BYTES, Created, Exists, Head, Upload, open_store, part_spans
from sink.store.local import LocalStore
from sink.store.probe import PROBES, probe
from sink.store.s3 import S3Store

KEY = "events/date=2026-11-23/hour=10/0-1-abc.parquet"


@pytest.fixture(scope="module")
def stand() -> Iterator[S3Stand]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setattr("sink.store.s3.BACKOFF_SECONDS", 0.01)
        stand = S3Stand(environment)
        yield stand
        stand.stop()


@pytest.fixture(params=["local", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, stand: S3Stand) -> LakeSettings:
    return local_settings(tmp_path) if request.param == "local" else stand.settings()


def test_g3_a_key_is_created_once_and_the_same_bytes_are_ours(settings: LakeSettings) -> None:
    async def story() -> None:
        store = open_store(settings)
        assert await store.create_once("a/b.json", b"one") == Created()
        assert await store.create_once("a/b.json", b"one") == Created()
        assert await store.create_once("a/b.json", b"two") == Exists(b"one")
        assert await store.read("a/b.json") == b"one"
        await store.close()

    run(story())


def test_g3_of_eight_that_race_for_a_key_one_wins(settings: LakeSettings) -> None:
    async def story() -> None:
        store = open_store(settings)
        raced = await asyncio.gather(*(store.create_once("a/b.json", b"%d" % racer) for racer in range(8)))
        assert [type(outcome) for outcome in raced].count(Created) == 1
        seen = {outcome.data for outcome in raced if isinstance(outcome, Exists)}
        assert seen == {await store.read("a/b.json")}
        await store.close()

    run(story())


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1])
def test_g3_an_upload_is_invisible_until_it_is_completed_as_often_as_one_likes(
    settings: LakeSettings, size: int
) -> None:
    async def story() -> None:
        store = open_store(settings)
        data = os.urandom(size)
        upload = await store.upload(KEY, data, "0" * 64)
        assert await store.head(KEY) is None
        assert await store.read(KEY) is None
        assert await keys(store) == []
        assert await uploads(store, "events/") == [KEY]
        assert await store.complete(upload) == "completed"
        assert await store.complete(upload) == "completed"
        head = await store.head(KEY)
        assert head is not None
        assert head.size == len(data)
        assert head.sha256 in (None, "0" * 64)
        assert await store.read(KEY) == data
        assert await store.read_tail(KEY, 5) == (data[-5:] if data else b"")
        assert [(found.key, found.size) async for found in store.list("events/")] == [(KEY, size)]
        assert await store.read_tail(KEY, 2 * len(data)) == data
        assert await uploads(store, "") == []
        await store.close()

    run(story())


def test_an_upload_that_was_aborted_never_appears(settings: LakeSettings) -> None:
    async def story() -> None:
        store = open_store(settings)
        upload = await store.upload(KEY, b"data", "0" * 64)
        await store.abort(upload)
        await store.abort(upload)
        assert await uploads(store, "") == []
        assert await store.head(KEY) is None
        await store.close()

    run(story())


def test_a_listing_has_keys_in_order_with_their_sizes_below_the_prefix_only(settings: LakeSettings) -> None:
    async def story() -> None:
        store = open_store(settings)
        for key in ("a/2", "a/10", "b/1", "a/c/d"):
            await store.create_once(key, key.encode())
        assert await keys(store, "a/") == ["a/10", "a/2", "a/c/d"]
        assert await keys(store, "") == ["a/10", "a/2", "a/c/d", "b/1"]
        assert await keys(store, "nothing/") == []
        assert [listed.key async for listed in store.list("a/", "a/10")] == ["a/2", "a/c/d"]
        assert [listed.key async for listed in store.list("a/", "a/c/d")] == []
        assert [listed.size async for listed in store.list("a/c/")] == [5]
        await store.delete("b/1")
        await store.delete("b/1")
        assert await store.head("b/1") is None
        assert await store.read_tail("b/1", 5) is None
        await store.close()

    run(story())


def test_an_honest_store_passes_the_probe_and_is_left_clean(settings: LakeSettings) -> None:
    async def story() -> None:
        store = open_store(settings)
        await probe(store)
        assert await keys(store, PROBES) == []
        assert await uploads(store, PROBES) == []
        await store.close()

    run(story())


def test_parts_are_equal_but_the_last() -> None:
    assert part_spans(1) == [(0, 1)]
    assert part_spans(PART_BYTES) == [(0, PART_BYTES)]
    assert part_spans(PART_BYTES + 1) == [(0, PART_BYTES), (PART_BYTES, PART_BYTES + 1)]
    assert PART_BYTES >= 5 << 20


class Overwriting(LocalStore):
    """A store that says yes and overwrites, as rclone's S3 server does."""

    def _create_once(self, key: str, data: bytes) -> Created | Exists:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return Created()


class Racy(LocalStore):
    """A store that looks first and writes afterwards."""

    async def create_once(self, key: str, data: bytes) -> Created | Exists:
        found = await self.read(key)
        await asyncio.sleep(0.01)
        if found is not None:
            return Exists(found)
        (self.root / key).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key).write_bytes(data)
        return Created()


class Hasty(LocalStore):
    """A store that shows an upload at once."""

    async def upload(self, key: str, data: bytes | memoryview, sha256: str) -> Upload:
        upload = await super().upload(key, data, sha256)
        await self.complete(upload)
        return upload


class Forgetful(LocalStore):
    """A store that loses the object when its upload is completed again."""

    async def complete(self, upload: Upload) -> Any:
        seen = await self.head(upload.key)
        outcome = await super().complete(upload)
        if seen:
            await self.delete(upload.key)
        return outcome


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Overwriting, "overwrote an object"),
        (Racy, "of 8 create the same key"),
        (Hasty, "shows an upload before"),
        (Forgetful, "lost it when it was completed again"),
    ],
)
def test_g10_a_store_that_does_not_keep_the_rules_is_refused_by_name(
    kind: type[LocalStore], said: str, tmp_path: Path
) -> None:
    store = kind(local_settings(tmp_path))
    with pytest.raises(StoreError, match=said) as caught:
        run(probe(store))
    assert caught.value.code == "store_unsafe"
    assert not caught.value.retriable
    assert run(keys(store, PROBES)) == []


@pytest.mark.parametrize("call", ["link", "fsync"])
def test_a_directory_without_hard_links_or_fsync_is_refused(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM if call == "link" else errno.EINVAL, "not here", "name")

    monkeypatch.setattr(os, call, refused)
    with pytest.raises(StoreError, match="hard links and fsync") as caught:
        run(LocalStore(local_settings(tmp_path)).create_once("a", b"x"))
    assert caught.value.code == "store_unsafe"


def test_a_full_disk_is_told_as_something_that_may_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "name")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left") as caught:
        run(LocalStore(local_settings(tmp_path)).create_once("a", b"x"))
    assert caught.value.retriable


def test_the_local_store_syncs_data_then_names_then_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, link = os.fsync, os.link

    def noted_fsync(file: int) -> None:
        steps.append(
            "sync " + os.path.relpath(os.readlink(f"/proc/self/fd/{file}"), tmp_path / "lake").split("/")[0]
        )
        fsync(file)

    def noted_link(source: Path, target: Path) -> None:
        steps.append("link")
        link(source, target)

    store = LocalStore(local_settings(tmp_path))
    run(store.create_once("a/first", b"x"))  # makes the folders
    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "link", noted_link)
    run(store.create_once("a/second", b"x"))
    assert steps == ["sync _headrace", "link", "sync a"]
    steps.clear()
    run(store.create_once("a/second", b"y"))
    assert steps == ["sync _headrace", "link", "sync a"], "whoever is told that it exists may build on it"
    steps.clear()
    run(store.settle("a/second"))
    assert steps == ["sync a"]


def test_what_killed_writers_left_behind_is_removed_and_what_may_be_in_use_is_not(tmp_path: Path) -> None:
    store = LocalStore(local_settings(tmp_path))
    run(store.create_once("a", b"x"))
    old, young = (tmp_path / "lake/_headrace/temporary" / name for name in ("old", "young"))
    for path, seconds in ((old, 3700), (young, 3500)):
        path.write_bytes(b"x")
        stat = path.stat()
        os.utime(path, (stat.st_atime, stat.st_mtime - seconds))
    run(LocalStore(local_settings(tmp_path)).create_once("b", b"x"))
    assert not old.exists()
    assert young.exists()


def test_an_upload_that_is_gone_is_told_so_and_a_head_decides(tmp_path: Path) -> None:
    async def story() -> None:
        store = LocalStore(local_settings(tmp_path))
        assert await store.complete(Upload("a/b", "0123")) == "gone"
        await store.create_once("a/b", b"x")
        assert await store.complete(Upload("a/b", "0123")) == "completed"
        assert await store.head("a/b") == Head(1)

    run(story())


class Scripted(S3Store):
    """An S3 store whose next requests answer as the script says; None lets one through."""

    def __init__(self, settings: LakeSettings, *script: tuple[str, int, str] | Exception | None) -> None:
        super().__init__(settings)
        self.script = list(script)
        self.asked: list[str] = []

    async def _ask(self, method: str, key: str | None, **more: object) -> dict[str, Any]:
        self.asked.append(method)
        step = self.script.pop(0) if self.script else None
        if step is None:
            return await super()._ask(method, key, **more)
        if isinstance(step, Exception):
            raise step
        when, status, code = step
        if when == "after":
            await super()._ask(method, key, **more)
        if not status:
            raise TimeoutError
        error = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise ClientError(error, method)


@pytest.mark.parametrize(
    "step",
    [
        ("after", 0, "no answer"),
        ("before", 0, "no answer"),
        ("before", 409, "ConditionalRequestConflict"),
        ("before", 503, "SlowDown"),
        ("after", 500, "InternalError"),
        EndpointConnectionError(endpoint_url="it"),
        ConnectionResetError(),
    ],
)
def test_after_an_unknown_outcome_only_the_content_decides(stand: S3Stand, step: Any) -> None:
    async def story() -> None:
        settings = stand.settings()
        store = Scripted(settings, step)
        assert await store.create_once("entry", b"ours") == Created()
        assert await store.read("entry") == b"ours"
        other = Scripted(settings, step if step != ("after", 0, "no answer") else ("before", 0, ""))
        assert await other.create_once("entry", b"theirs") == Exists(b"ours")
        assert await store.read("entry") == b"ours"
        await store.close()
        await other.close()

    run(story())


def test_an_entry_that_appears_while_the_outcome_is_unknown_is_seen(stand: S3Stand) -> None:
    async def story() -> None:
        settings = stand.settings()
        first, second = Scripted(settings, ("after", 0, "")), Scripted(settings)
        assert await second.create_once("entry", b"theirs") == Created()
        first.script = [("before", 0, "")]
        assert await first.create_once("entry", b"ours") == Exists(b"theirs")
        assert first.asked == ["put_object", "get_object"]
        await first.close()
        await second.close()

    run(story())


def test_a_store_that_only_says_later_is_given_up_at_the_deadline_as_retriable(stand: S3Stand) -> None:
    async def story() -> None:
        store = Scripted(stand.settings(), *[("before", 503, "SlowDown")] * 1000)
        store._seconds_max = 0.3
        with pytest.raises(StoreError, match=r"not done within 0\.3 s") as caught:
            await store.upload("a", b"x", "0" * 64)
        assert caught.value.retriable
        assert len(store.asked) >= 2

    run(story())


def test_a_store_that_refuses_is_told_at_once_with_its_words(stand: S3Stand) -> None:
    async def story() -> None:
        store = Scripted(stand.settings(), ("before", 403, "AccessDenied"))
        with pytest.raises(StoreError, match="403 AccessDenied") as caught:
            await store.create_once("a", b"x")
        assert not caught.value.retriable
        missing = open_store(stand.settings().model_copy(update={"url": "s3://no-such-bucket/x"}))
        with pytest.raises(StoreError, match="NoSuchBucket"):
            await probe(missing)
        await missing.close()
        await store.close()

    run(story())


def test_completion_of_an_upload_that_is_gone_is_told_so(stand: S3Stand) -> None:
    # moto 5.2 answers 500 for an upload that is gone, so the answer that S3 gives is scripted.
    async def story() -> None:
        store = Scripted(stand.settings(), ("before", 404, "NoSuchUpload"))
        assert await store.complete(Upload("a/b", "gone", ('"tag"',))) == "gone"
        await store.close()

    run(story())
