"""What the admin port says of the processes: takes the supervisor, gives the JSON of /readyz."""

from __future__ import annotations

from typing import Any, Final

from headrace.kafka_client import AWAY_ADVICE
from headrace.stack.process import Supervised
from headrace.stack.supervisor import STOP_ORDER, Supervisor

AWAY: Final = "Kafka is away: "  # as collector and sink say it
NOT_TRIED: Final = ("not connected yet", "not asked yet")


def state_of(supervisor: Supervisor) -> dict[str, Any]:
    """What /readyz says. Ready: some collector can take events honestly; for a sink alone: it lands."""
    roles = {process.program.role for process in supervisor.processes}
    door = "collector" if "collector" in roles else "sink"
    ready = any(process.ready for process in supervisor.of(door)) and not supervisor.stopping
    reasons = ["stopping"] if supervisor.stopping else [] if roles else ["starting"]
    reasons += reasons_of(supervisor)
    return {
        "ready": ready,
        "reasons": reasons,
        "kafka": kafka_of(supervisor),
        "topics": topics_of(supervisor),
        "processes": {
            role: [shown(one) for one in supervisor.of(role)] for role in STOP_ORDER if role in roles
        },
    }


def reasons_of(supervisor: Supervisor) -> list[str]:
    """What is not as it should be, each thing once: that Kafka is away is not said by everyone who waits."""
    own = supervisor.of("kafka")
    waits = any(not process.ready for process in own)
    away = away_of(supervisor)
    reasons: list[str] = []
    for process in supervisor.processes:
        for reason in process.reasons:
            if AWAY in reason and (waits or away):
                reason = "" if waits else f"{AWAY}{away}"
            if reason and reason not in reasons:
                reasons.append(reason)
    return reasons


def away_of(supervisor: Supervisor) -> str:
    """Why Kafka can't be reached, and what to do where it is not our own; empty: it is, or was not tried."""
    for process in supervisor.processes:
        for reason in process.reasons:
            _, found, why = reason.partition(AWAY)
            if found and why not in NOT_TRIED:
                return why if supervisor.of("kafka") else f"{why}; {AWAY_ADVICE}"
    return ""


def kafka_of(supervisor: Supervisor) -> dict[str, Any]:
    """Kafka as the programs see it: up while any of them reaches it, and while our own answers."""
    own = supervisor.of("kafka")
    said: list[dict[str, Any]] = [
        kafka
        for process in supervisor.processes
        if process.status.fresh and isinstance(kafka := process.status.get("kafka"), dict)
    ]
    away = bool(own) and not any(process.ready for process in own)
    if not away:
        for kafka in said:
            if kafka.get("state") == "up":
                return kafka
    down: dict[str, Any] = next((kafka for kafka in said if kafka.get("state") == "down"), {})
    return {**down, "state": "down"}


def topics_of(supervisor: Supervisor) -> list[dict[str, Any]]:
    """What a person should know of the topics (`ingest.status`), each finding once whoever says it.

    One of severity "warning", such as a topic that keeps only one copy (G1), makes nothing unready.
    """
    found: list[dict[str, Any]] = []
    for process in supervisor.processes:
        for finding in (process.status.get("topics") or ()) if process.status.fresh else ():
            if isinstance(finding, dict) and finding not in found:
                found.append(finding)
    return sorted(found, key=lambda one: (str(one.get("topic")), str(one.get("code"))))


def shown(process: Supervised) -> dict[str, Any]:
    """One process, for /readyz and the screen."""
    age = process.status.age_seconds
    return {
        "pid": process.pid,
        "ready": process.ready,
        "restarts": process.restarts,
        "reasons": process.reasons,
        "said_seconds_ago": None if age is None else round(age, 1),
    }
