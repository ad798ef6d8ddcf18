"""The sink's settings fit what the stages can hold."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from _native.columns import BUFFER_BYTES_MAX
from sink.settings import TableSettings


def test_files_roll_at_the_latest_where_a_column_of_int32_offsets_is_landed_anyway() -> None:
    assert TableSettings(roll_bytes=BUFFER_BYTES_MAX).roll_bytes == BUFFER_BYTES_MAX
    with pytest.raises(ValidationError, match="less than or equal"):
        TableSettings(roll_bytes=BUFFER_BYTES_MAX + 1)
