"""The comments of a script as the words of a lesson: its head, what stands above lines, what stands at the end."""

from __future__ import annotations


class Notes:
    """Comments that have a line of their own. The head ends at the first line that is no comment."""

    def __init__(self, text: str) -> None:
        self._above: dict[int, str] = {}
        self.head: list[str] = []
        waiting: list[str] = []
        in_head = True
        for number, line in enumerate(text.splitlines(), start=1):
            said = line.strip()
            if said.startswith("#"):
                (self.head if in_head else waiting).append(said.lstrip("#").strip())
                continue
            in_head = False
            if said:
                self._above[number], waiting = " ".join(waiting), []
        self.closing = " ".join(waiting)

    @property
    def title(self) -> str:
        """The first line of the head."""
        return self.head[0] if self.head else ""

    @property
    def introduction(self) -> str:
        """The rest of the head."""
        return " ".join(self.head[1:]).strip()

    def above(self, line: int) -> str:
        """What stands above a line."""
        return self._above.get(line, "")
