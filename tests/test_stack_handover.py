"""From supervisor to child: settings survive with their secrets, and a child knows when it must not start."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from headrace import child, handover
from headrace.errors import HeadraceError
from headrace.settings import load

CONFIG = """
[collector]
workers = 2
tls_cert = "cert.pem"
[kafka]
bootstrap_servers = "a:1"
security_protocol = "SASL_SSL"
sasl_username = "u"
sasl_password = "hush-password"
[lake]
url = "file:///lake"
[limits]
depth_max = 100
[sources.web]
write_keys = ["hush-key", "other"]
[topics.events]
roll_seconds = 2
lanes = 3
[topics.events.columns]
price = { path = "$.properties.price", type = "double" }
"""


def document(tmp_path: Path, role: str) -> bytes:
    path = tmp_path / "headrace.toml"
    path.write_text(CONFIG)
    return handover.dump(role, load(path))


@pytest.mark.parametrize("role", ["collector", "sink"])
def test_the_settings_of_a_child_are_those_of_the_file_secrets_included(tmp_path: Path, role: str) -> None:
    given = handover.load(role, document(tmp_path, role))
    settings = load(tmp_path / "headrace.toml")
    assert given.settings == (settings.ingest() if role == "collector" else settings.land())
    assert given.kafka == settings.kafka
    assert given.kafka.sasl_password.get_secret_value() == "hush-password"  # type: ignore[union-attr]


def test_what_was_not_set_stays_unset_so_that_it_binds_nobody(tmp_path: Path) -> None:
    given = handover.load("collector", document(tmp_path, "collector")).settings
    assert given.sources["web"].limits.model_fields_set == set()
    assert [key.get_secret_value() for key in given.sources["web"].write_keys] == ["hush-key", "other"]


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_a_document_that_is_cut_short_is_refused_without_showing_a_secret(tmp_path: Path, cut: int) -> None:
    with pytest.raises(HeadraceError) as caught:
        handover.load("collector", document(tmp_path, "collector")[:cut])
    assert caught.value.code == "handover_invalid"
    assert "hush" not in str(caught.value)


def test_a_document_of_another_version_is_refused_without_showing_a_secret(tmp_path: Path) -> None:
    told = json.loads(document(tmp_path, "collector"))
    told["settings"]["sources"]["web"]["unknown"] = 1
    with pytest.raises(HeadraceError, match="not those of a collector") as caught:
        handover.load("collector", json.dumps(told).encode())
    assert "hush" not in str(caught.value)


def test_settings_beyond_the_bound_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(document(tmp_path, "sink"))
    monkeypatch.setattr(handover, "DOCUMENT_BYTES_MAX", size)
    document(tmp_path, "sink")
    monkeypatch.setattr(handover, "DOCUMENT_BYTES_MAX", size - 1)
    with pytest.raises(HeadraceError, match="at most"):
        document(tmp_path, "sink")


def twin(kind: str) -> ModuleType:
    module = ModuleType("_native.made_up")
    module.TWIN = kind  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize(("kind", "forced", "refused"), [("python", "", True), ("python", "1", False)])
def test_a_twin_that_was_not_built_is_refused_unless_python_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, kind: str, forced: str, refused: bool
) -> None:
    monkeypatch.setenv("HEADRACE_NO_EXTENSIONS", forced)
    monkeypatch.setitem(sys.modules, "_native.made_up", twin(kind))
    if refused:
        with pytest.raises(HeadraceError, match=r"_native\.made_up.*make setup"):
            child.refuse_slow_twins()
    else:
        child.refuse_slow_twins()


def started(role: str, *words: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "headrace.child", role, *words]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)


def test_a_child_without_settings_says_so_in_one_line_and_ends_with_2() -> None:
    ended = started("sink", stdin=b"")
    assert ended.returncode == 2
    line = json.loads(ended.stderr)
    assert (line["event"], line["role"], line["code"]) == ("program_refused", "sink", "handover_invalid")


def test_a_child_whose_supervisor_is_gone_does_not_start(tmp_path: Path) -> None:
    ended = started("sink", "--supervisor", "1", stdin=document(tmp_path, "sink"))
    assert ended.returncode == 2
    assert not ended.stderr


def test_a_child_ends_with_its_supervisor() -> None:
    script = (
        "import os, subprocess, sys\n"
        "code = 'import os, sys, time; from headrace.child import tie; tie(int(sys.argv[1])); '\n"
        "code += 'print(os.getpid(), flush=True); time.sleep(60)'\n"
        "subprocess.Popen([sys.executable, '-c', code, str(os.getpid())])\n"
        "sys.stdin.read()\n"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    pidfd = os.pidfd_open(pid)
    supervisor.kill()
    supervisor.wait(10)
    assert select.select([pidfd], [], [], 10)[0], "the child outlived its supervisor"
    os.close(pidfd)
