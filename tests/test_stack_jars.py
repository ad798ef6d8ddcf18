"""The jars of Kafka: what is missing comes from a mirror, what is wrong is removed, what fails has words."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from headrace.errors import HeadraceError
from headrace.stack import jars

NAMES = ("alpha", "beta", "gamma")


@dataclass
class Mirror:
    """A Maven repository on loopback. `torn`: how many answers to a path end in the middle."""

    files: dict[str, bytes] = field(default_factory=dict)
    torn: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    it = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = it.files.get(self.path)
            it.asked.append(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("content-length", str(len(body or b"")))
            self.end_headers()
            if it.torn.get(self.path, 0) > 0:
                it.torn[self.path] -= 1
                body = (body or b"")[:-3]
                self.close_connection = True
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    it.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    config = tmp_path / "jgo.conf"
    config.write_text(f"[repositories]\ncentral = http://127.0.0.1:{it.port}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(config))
    try:
        yield it
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def lock(mirror: Mirror, tmp_path: Path) -> Path:
    """A lock of three small jars that the mirror has."""
    lines = []
    for name in NAMES:
        content = name.encode() * 5000
        mirror.files[f"/org/x/{name}/1.0/{name}-1.0.jar"] = content
        lines.append(f"org.x:{name}:1.0 {hashlib.sha256(content).hexdigest()} {len(content)}\n")
    path = tmp_path / "small.lock"
    path.write_text("# three jars\n" + "".join(lines))
    return path


def test_the_lock_names_kafka_and_its_log_binding_and_no_address() -> None:
    locked = jars.locked()
    assert jars.kafka_version().startswith("4.3.")
    assert sum(jar.coordinate.startswith(f"{jars.BINDING}:") for jar in locked) == 1
    assert all(re.fullmatch(r"[\w.-]+:[\w.-]+:[\w.-]+", jar.coordinate) for jar in locked)
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) and jar.size > 0 for jar in locked)
    versions = {
        jar.coordinate.split(":")[2] for jar in locked if jar.coordinate.startswith("org.apache.kafka:")
    }
    assert versions == {jars.kafka_version()}, "one version of Kafka"


def test_what_is_missing_is_downloaded_and_kept_and_not_asked_for_again(
    mirror: Mirror, lock: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    cache = tmp_path / "cache"
    found = jars.class_path(lambda done, total: seen.append((done, total)), cache=cache, lock=lock)
    assert [path.name for path in found] == [f"{name}-1.0.jar" for name in NAMES]
    assert [path.read_bytes() for path in found] == [name.encode() * 5000 for name in NAMES]
    total = sum(jar.size for jar in jars.locked(lock))
    assert seen[-1] == (total, total)
    assert [path for path in cache.iterdir() if path.name.startswith(".")] == [], "nothing half is left"
    asked = len(mirror.asked)
    assert jars.class_path(lambda done, total: pytest.fail("no download"), cache=cache, lock=lock) == found
    assert len(mirror.asked) == asked


@pytest.mark.parametrize("content", [b"changed" * 100, b"alpha" * 4999 + b"alphA"])
def test_a_cached_jar_that_is_wrong_is_removed_named_and_fetched_again(
    lock: Path, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    first = jars.class_path(cache=tmp_path / "cache", lock=lock)[0]
    first.write_bytes(content)
    assert jars.class_path(cache=tmp_path / "cache", lock=lock)[0].read_bytes() == b"alpha" * 5000
    assert "alpha-1.0.jar" in capsys.readouterr().out


def test_a_download_that_is_not_what_the_lock_says_is_removed_and_named(
    mirror: Mirror, lock: Path, tmp_path: Path
) -> None:
    mirror.files["/org/x/beta/1.0/beta-1.0.jar"] = b"evil" * 5000
    with pytest.raises(HeadraceError, match=r"beta-1\.0\.jar came with SHA-256 .* removed") as caught:
        jars.class_path(cache=tmp_path / "cache", lock=lock)
    assert caught.value.code == "jar_wrong"
    assert not list((tmp_path / "cache").rglob("beta*.jar"))


def test_a_torn_download_is_tried_again(mirror: Mirror, lock: Path, tmp_path: Path) -> None:
    mirror.torn["/org/x/beta/1.0/beta-1.0.jar"] = jars.TRIES_MAX - 1
    assert len(jars.class_path(cache=tmp_path / "cache", lock=lock)) == 3


def test_a_download_that_is_always_torn_says_what_to_do(mirror: Mirror, lock: Path, tmp_path: Path) -> None:
    mirror.torn["/org/x/beta/1.0/beta-1.0.jar"] = jars.TRIES_MAX
    with pytest.raises(HeadraceError, match=r"beta-1\.0\.jar can't be downloaded, after 3 tries") as caught:
        jars.class_path(cache=tmp_path / "cache", lock=lock)
    assert (caught.value.code, caught.value.retriable) == ("jars_unreachable", True)


def test_without_a_network_the_error_says_what_to_do(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "nowhere.conf"
    config.write_text("[repositories]\ncentral = http://127.0.0.1:1\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(config))
    with pytest.raises(HeadraceError, match=r"needs a network.*--kafka HOST:PORT") as caught:
        jars.class_path(cache=tmp_path / "cache", lock=lock)
    assert (caught.value.code, caught.value.retriable) == ("jars_unreachable", True)


def test_a_jar_that_no_repository_has_is_named(mirror: Mirror, lock: Path, tmp_path: Path) -> None:
    del mirror.files["/org/x/gamma/1.0/gamma-1.0.jar"]
    with pytest.raises(HeadraceError, match=r"gamma-1\.0\.jar can't be downloaded"):
        jars.class_path(cache=tmp_path / "cache", lock=lock)


def test_a_cache_that_cannot_be_written_says_which_variable_names_another(lock: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadraceError, match="M2_REPO") as caught:
        jars.class_path(cache=tmp_path / "file", lock=lock)
    assert caught.value.code == "jars_not_kept"


def test_two_that_start_at_once_do_not_disturb_each_other(lock: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: jars.class_path(cache=tmp_path / "cache", lock=lock), range(4)))
    assert all(paths == found[0] for paths in found)
    assert [path.read_bytes() for path in found[0]] == [name.encode() * 5000 for name in NAMES]
