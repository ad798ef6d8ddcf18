"""One running stack for the tests that only use it: `headrace up`, as a person starts it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stack_stand import Stack


@pytest.fixture(scope="session")
def stack(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Started once; each test sends ids of its own."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.start()
        yield stack
    finally:
        stack.kill()
