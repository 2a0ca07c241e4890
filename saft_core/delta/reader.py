"""The sections of a container, one after the other, never beyond its end."""

from __future__ import annotations

from saft_core.errors import InvalidDelta


class SectionReader:
    """Hands out consecutive pieces of `data` without copying them."""

    def __init__(self, data: memoryview) -> None:
        self._left = data

    def take(self, size: int, section: str) -> memoryview:
        """The next `size` bytes. Raises InvalidDelta naming `section` when fewer are left."""
        if size > len(self._left):
            raise InvalidDelta(f"the {section} should have {size} bytes, the file has {len(self._left)} left")
        piece, self._left = self._left[:size], self._left[size:]
        return piece

    def rest(self) -> memoryview:
        """All that is left."""
        return self.take(len(self._left), "rest")

    def finish(self) -> None:
        """Raises InvalidDelta when something is left over."""
        if len(self._left):
            raise InvalidDelta(f"{len(self._left)} bytes too many")
