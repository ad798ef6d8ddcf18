"""Doctor's look at this machine: takes settings and folders, gives checks of program, disks and limits."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Final

from headrace.checkup import Area, Check
from headrace.settings import Settings
from ingest.ack_level import differences

TWINS: Final = ("scan", "pack", "batch", "hash", "columns", "timestamp")
FREE_BYTES_MIN: Final = 1 << 30
FSYNC_SLOW_MS: Final = 50.0
FSYNC_TRIES: Final = 5
FILES_BESIDE: Final = 200  # open files of a worker that are no connections
REMOTE: Final = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "fuse.sshfs",
    "ceph",
    "glusterfs",
    "afs",
    "lustre",
}
MOUNTS: Final = Path("/proc/self/mounts")


def check_program() -> Check:
    """Whether the fast twins are there; a production collector refuses to start on the others."""
    slow = []
    for name in TWINS:
        try:
            twin = getattr(import_module(f"_native.{name}"), "TWIN", "cython")
        except ImportError:
            continue
        if twin != "cython":
            slow.append(name)
    if slow:
        told = f"plain Python does the work of {', '.join(slow)}: ten times slower"
        return Check("program", "wrong", told, "build the extensions: make setup, or install a wheel")
    return Check("program", "ok", "the native extensions are there")


def check_settings(settings: Settings, config: Path | None) -> Iterator[Check]:
    """What the settings say that a person should know."""
    sources, topics = len(settings.sources), len(settings.topic_names())
    count = f"{sources} source{'s' if sources > 1 else ''}, {topics} topic{'s' if topics > 1 else ''}"
    text = f"{config or 'variables'}: {count}" if sources else "no sources: as `headrace up` without a file"
    yield Check("settings", "ok", text)
    for source, told in settings.sources.items():
        if not told.write_keys and settings.collector.host not in ("127.0.0.1", "::1", "localhost"):
            text = f"source {source} takes events without a key from any address that reaches this machine"
            yield Check("settings", "note", text)
    for text in differences(settings.sources):
        yield Check("settings", "note", text)
    yield check_files(settings)


def check_files(settings: Settings) -> Check:
    """Open files that a process may have, against connections_max."""
    wanted = settings.limits.connections_max + FILES_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = hard if hard != resource.RLIM_INFINITY else wanted
    if max(soft, limit) < wanted:
        connections = settings.limits.connections_max
        told = f"{limit} open files are allowed, limits.connections_max = {connections} needs"
        return Check(
            "settings", "wrong", f"{told} {wanted}", f"ulimit -n {wanted}, or a lower connections_max"
        )
    if soft < wanted:
        told = f"{soft} open files are allowed at first, {wanted} are needed for limits.connections_max"
        return Check("settings", "note", told, f"ulimit -n {wanted} before the start")
    return Check("settings", "ok", f"{soft:,} open files are allowed, {wanted:,} are needed at most")


def check_disk(area: Area, what: str, folder: Path, *, local: bool) -> Iterator[Check]:
    """Space, sync and kind of the disk of a folder; `local`: a network file system is refused there."""
    place = next((above for above in (folder, *folder.parents) if above.is_dir()), Path("/"))
    name = f"{what} {folder}"
    kind = filesystem_of(place)
    if local and kind in REMOTE:
        told = f"{name} is on a network file system ({kind}), whose locks and syncs can't be relied on"
        yield Check(area, "wrong", told, "name a folder on a local disk")
        return
    free = shutil.disk_usage(place).free
    if free < FREE_BYTES_MIN:
        yield Check(
            area, "wrong", f"{name}: {free >> 20} MiB free", "free at least 1 GiB, or name another disk"
        )
    try:
        took_ms = fsync_ms(place)
    except OSError as error:
        told = f"{name}: a file can't be written and synced in {place}: {error.strerror}"
        yield Check(area, "wrong", told, f"give this user the right to write to {place}")
        return
    told = f"{name}: {free / (1 << 30):,.1f} GiB free, a file is synced in {took_ms:.1f} ms"
    slow = took_ms > FSYNC_SLOW_MS
    yield Check(
        area, "note" if slow else "ok", told, "a faster disk lowers the time to answer" if slow else ""
    )


def fsync_ms(folder: Path) -> float:
    """Milliseconds to write and sync a small file, the median of some tries. Raises OSError."""
    took = []
    for _ in range(FSYNC_TRIES):
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".headrace-doctor-") as file:
            file.write(bytes(4096))
            file.flush()
            began = monotonic()
            os.fsync(file.fileno())
            took.append((monotonic() - began) * 1000)
    return sorted(took)[len(took) // 2]


def filesystem_of(folder: Path, mounts: Path = MOUNTS) -> str:
    """Kind of the file system that holds the folder; empty where it can't be told."""
    path, found, kind = str(folder.resolve()), "", ""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        _, point, told, *_ = line.split(" ", 3)
        point = point.replace("\\040", " ")
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(found):
            found, kind = point, told
    return kind
