"""The README says of every setting what the programs do."""

from __future__ import annotations

from settings_tables import section, tables


def test_the_tables_of_the_readme_are_those_of_the_settings() -> None:
    assert section() == tables().strip("\n"), "run: python tests/settings_tables.py"
