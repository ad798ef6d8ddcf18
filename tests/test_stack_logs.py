"""What programs log: JSON lines with the event first, libraries' words calmed, failures with their trace."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

from headrace.logs import MESSAGES_MAX, REPEATED_SECONDS, Calm

LOGS = """
import logging, sys, warnings
import structlog
from headrace.logs import log_json
log_json(sys.stderr, role="sink")
structlog.get_logger().info("file_landed", rows=3)
for _ in range(3):
    logging.getLogger("aiokafka").warning("node %s is away", 1)
logging.getLogger("aiokafka").info("not asked for")
warnings.warn("old")
raise ValueError("broken")
"""


def test_every_line_is_json_and_names_its_event_first() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LOGS], capture_output=True, text=True, timeout=60, check=False
    )
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["event"] for line in lines] == [
        "file_landed",
        "library_logged",
        "library_logged",
        "program_failed",
    ]
    assert all(line["role"] == "sink" and line["timestamp"].endswith("Z") for line in lines)
    assert ended.stderr.startswith('{"event":"file_landed","role":"sink","rows":3,"level":"info"')
    assert (lines[1]["library"], lines[1]["text"]) == ("aiokafka", "node 1 is away")
    assert "ValueError: broken" in lines[3]["exception"]
    assert ended.returncode == 1


def record(text: str, seconds: float) -> logging.LogRecord:
    made = logging.LogRecord("aiokafka", logging.WARNING, "", 0, text, (), None)
    made.created = seconds
    return made


def test_the_same_is_said_once_in_a_while_with_the_number_left_out() -> None:
    calm = Calm()
    assert calm.filter(record("away", 100))
    assert not calm.filter(record("away", 100 + REPEATED_SECONDS - 0.01))
    assert calm.filter(record("else", 101))
    again = record("away", 100 + REPEATED_SECONDS)
    assert calm.filter(again)
    assert again.left_out == 1  # type: ignore[attr-defined]


def test_no_more_messages_are_remembered_than_the_bound() -> None:
    calm = Calm()
    for number in range(3 * MESSAGES_MAX):
        assert calm.filter(record(f"message {number}", 100))
    assert len(calm._said) <= MESSAGES_MAX
