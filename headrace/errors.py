"""Errors of the command line and the one-machine stack: the message tells a person what to do."""

from __future__ import annotations


class HeadraceError(Exception):
    """Something a person can mend. `code` is bounded; `retriable`: the same may succeed later as it is."""

    def __init__(self, code: str, message: str, *, retriable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retriable = retriable


class SettingsError(HeadraceError):
    """headrace.toml or a variable is wrong (`config_unreadable`, `config_invalid`); the start stops."""
