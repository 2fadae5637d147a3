"""What is closed on leaving a `with`, however it is left."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """A context manager of itself, for all that close() is all there is to do at the end."""

    def close(self) -> None:
        """Let go of what it holds."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
