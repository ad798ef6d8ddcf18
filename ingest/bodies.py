"""Bytes of bodies that are being read, of all connections of a worker: one bound over both HTTP paths.

A body has a bound of its own and so have connections, but ten thousand of them at once would be the worker's
end. At the bound whoever sends more is told to come again (G8).
"""

from __future__ import annotations

from ingest.errors import Refusal, Situation


class Bodies:
    """Counts what is held; nothing waits."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.nbytes = 0

    def take(self, size: int) -> None:
        """Hold so many bytes more. Raises Refusal (OVERLOAD) where that is too much; then nothing is held."""
        if self.nbytes + size > self.bytes_max:
            text = f"more than {self.bytes_max} bytes of bodies are being read; nothing of this one was taken"
            raise Refusal(Situation.OVERLOAD, "bodies_full", text)
        self.nbytes += size

    def give(self, size: int) -> None:
        """They are handed on, or thrown away."""
        self.nbytes -= size
        assert self.nbytes >= 0, "given back more than was taken"
