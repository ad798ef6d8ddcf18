"""What all tests share: one real Kafka for a whole run, and skips that count as failures in the gate.

With HEADRACE_TEST_REQUIRE=all a skipped test fails: nothing may be missing there. A test that may be skipped
all the same says so: `@pytest.mark.may_skip`.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog

from headrace.errors import HeadraceError


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "may_skip: a skip is no failure, not even with HEADRACE_TEST_REQUIRE=all"
    )


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """What a command or a program set for its own log ends with its test."""
    yield
    structlog.reset_defaults()


def _required() -> bool:
    return os.environ.get("HEADRACE_TEST_REQUIRE") == "all"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    allowed = hasattr(report, "wasxfail") or item.get_closest_marker("may_skip") is not None
    if report.skipped and _required() and not allowed:
        report.outcome = "failed"
        report.longrepr = f"skipped, but HEADRACE_TEST_REQUIRE=all: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped and _required():
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skipped, but HEADRACE_TEST_REQUIRE=all: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def kafka_jars() -> None:
    """The jars of Kafka; whoever needs them is skipped by name where they can't be had."""
    from headrace.stack import jars

    try:
        jars.class_path()
    except HeadraceError as error:
        pytest.skip(f"Kafka: {error}")


@pytest.fixture(scope="session")
def kafka(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of one real Kafka for the whole run; each test makes topics of its own."""
    from kafka_stand import KafkaStand

    stand = KafkaStand(Path(tmp_path_factory.mktemp("kafka")))
    try:
        yield stand.start().bootstrap_servers
    finally:
        stand.stop()
