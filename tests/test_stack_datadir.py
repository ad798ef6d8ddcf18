"""The data directory and the ports of `headrace up`: what a person runs into gets an answer that helps."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from headrace.stack.datadir import FREE_BYTES_MIN, DataDir, DataDirError
from headrace.stack.ports import PortError, holder_of, is_free, listener, listeners


class Usage(NamedTuple):
    free: int


def test_a_new_folder_gets_its_layout_and_says_its_format(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "deep" / "data")
    data.open()
    assert (data.root / "headrace.json").read_bytes() == b'{"format":1}\n'
    assert all(data.folder(name).is_dir() for name in ("kafka", "lake", "spool", "logs", "run"))
    data.close()
    again = DataDir(data.root)
    again.open()
    again.close()


def test_a_second_one_on_the_folder_is_told_who_has_it(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.open()
    with pytest.raises(DataDirError) as caught:
        DataDir(tmp_path).open()
    assert caught.value.code == "data_in_use"
    assert f"process {os.getpid()}" in str(caught.value)
    assert "--data" in str(caught.value)
    data.close()
    other = DataDir(tmp_path)
    other.open()
    other.close()


def test_the_hold_ends_with_the_process_even_by_sigkill(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from headrace.stack.datadir import DataDir\n"
        "DataDir(Path(sys.argv[1])).open(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=30)
    assert ended.returncode == -9
    data = DataDir(tmp_path)
    data.open()
    data.close()


@pytest.mark.parametrize(
    ("text", "code"),
    [('{"format": 2}', "data_newer"), ('{"format": "1"}', "data_foreign"), ("{", "data_foreign")],
)
def test_a_folder_that_is_not_ours_to_read_is_refused_and_left_alone(
    tmp_path: Path, text: str, code: str
) -> None:
    (tmp_path / "headrace.json").write_text(text)
    with pytest.raises(DataDirError) as caught:
        DataDir(tmp_path).open()
    assert caught.value.code == code
    assert (tmp_path / "headrace.json").read_text() == text
    assert not (tmp_path / "kafka").exists()


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(DataDirError, match=r"other files \(thesis.doc\)") as caught:
        DataDir(tmp_path).open()
    assert caught.value.code == "data_foreign"


def test_a_file_in_place_of_the_folder_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(DataDirError, match="File exists; name another folder with --data"):
        DataDir(tmp_path / "data").open()


@pytest.mark.parametrize("free", [FREE_BYTES_MIN, FREE_BYTES_MIN - 1])
def test_a_full_disk_is_refused_before_kafka_finds_out(
    tmp_path: Path, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free))
    data = DataDir(tmp_path)
    if free >= FREE_BYTES_MIN:
        data.open()
    else:
        with pytest.raises(DataDirError, match="Free some space") as caught:
            data.open()
        assert caught.value.code == "disk_full"
    data.close()


def test_a_taken_port_names_the_process_that_has_it_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(PortError) as caught:
            listeners("127.0.0.1", port, 1, "--port N")
    assert caught.value.code == "port_taken"
    assert f"port {port} is taken by process {os.getpid()} (" in str(caught.value)
    assert str(caught.value).endswith("--port N")
    assert is_free(port)


def test_a_port_that_another_program_shares_is_taken_all_the_same() -> None:
    with listener("127.0.0.1", 0, "", shared=True) as taken, pytest.raises(PortError):
        listeners("127.0.0.1", taken.getsockname()[1], 2, "")


def test_each_slot_has_a_socket_on_the_same_port() -> None:
    sockets = listeners("127.0.0.1", 0, 3, "")
    assert len({made.getsockname()[1] for made in sockets}) == 1
    assert len({made.fileno() for made in sockets}) == 3
    for made in sockets:
        made.close()


def test_nobody_holds_a_free_port() -> None:
    with listener("127.0.0.1", 0, "") as made:
        port = made.getsockname()[1]
    assert holder_of(port) is None


def test_an_address_of_another_machine_is_said_in_words() -> None:
    with pytest.raises(PortError, match="can't be listened on") as caught:
        listener("203.0.113.1", 0, "host in [collector]")
    assert caught.value.code == "address_unusable"
