"""The sink's memory: takes all landings, gives one bound in bytes over all of their rows (G8).

At the bound the landing that holds the most is asked to commit, one at a time, and nobody fetches; it is
overrun by one feed of each lane at the most.
"""

from __future__ import annotations

from typing import Protocol


class Held(Protocol):
    """Rows of one lane, those under way to the store included."""

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""

    @property
    def open_nbytes(self) -> int:
        """Bytes of the rows that the next commit lands."""


class Holder(Protocol):
    """What a landing is to the budget."""

    @property
    def lane(self) -> Held:
        """What it holds."""

    @property
    def relieving(self) -> bool:
        """A commit is under way, or will be."""

    def ask(self) -> None:
        """Commit soon."""


class Budget:
    """Bytes over all landings."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._holders: list[Holder] = []

    def add(self, holder: Holder) -> None:
        """Count what it holds from now on."""
        self._holders.append(holder)

    def remove(self, holder: Holder) -> None:
        """It holds nothing any more."""
        self._holders.remove(holder)

    @property
    def nbytes(self) -> int:
        """Bytes of rows that are not landed."""
        return sum(holder.lane.nbytes for holder in self._holders)

    def full(self) -> bool:
        """Whether nothing may be fetched now; then the largest has been asked to commit."""
        if self.nbytes < self.bytes_max:
            return False
        if not any(holder.relieving for holder in self._holders):
            max(self._holders, key=lambda holder: holder.lane.open_nbytes).ask()
        return True
