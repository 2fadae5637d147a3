"""Random KSM scripts from a seed: every step, every tunable, refused values too, small and large.

A script is drawn step by step with a small model beside it (who lives, what is still mapped), so that each
step is one that the grammar allows; what ksmd makes of it is not looked at. None makes use of time: pruning
of chains by age is always due or never. The same arguments give the same text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from vmdedup.conform.stores import PRUNES, REFUSED, TAKEN
from vmdedup.units import PAGE_SIZE

FEATURES = (
    "exit",
    "fork",
    "discard",
    "unmap",
    "unmerge",
    "read",
    "chains",
    "smart",
    "zero",
    "run",
    "knobs",
    "refused",
    "advisor",
    "file",
    "corner",
    "long",
)
_RARE = {"long": 0.05, "advisor": 0.25, "corner": 0.1}


@dataclass(frozen=True, slots=True)
class _Size:
    """Pages a process (least, most), processes, steps after the first processes (least, most)."""

    least: int
    most: int
    processes: int
    steps: tuple[int, int]


SIZES = {
    "small": _Size(10, 40, 10, (40, 110)),
    "medium": _Size(80, 500, 7, (40, 90)),
    "large": _Size(700, 2500, 5, (30, 60)),
}


def generate(seed: int, size: str | int = "small", files: dict[str, int] | None = None, nodes: int = 1) -> str:
    """Return a random script.

    size: "small", "medium", "large", or the most pages a process may have. files: path (from the script's
    folder) to pages of files that `fill` may use; without one, no content is a file. nodes: NUMA nodes; with more
    than one, processes are bound, and pages move.
    """
    measure = SIZES[size] if isinstance(size, str) else _Size(max(1, size // 4), size, 6, (40, 90))
    return _Writer(Random(f"ksm script {size} {seed}"), measure, files or {}, nodes).write(seed)


class _Space:
    """A living process: which of its pages are still mapped."""

    def __init__(self, mapped: list[int]) -> None:
        self.mapped = mapped


class _Writer:
    """Draws the steps.

    spaces: the living, by name; born: processes so far; running: whether ksmd scans; stock: how many
    different contents there are of a kind.
    """

    def __init__(self, random: Random, size: _Size, files: dict[str, int], nodes: int = 1) -> None:
        self.random = random
        self.nodes = nodes
        self.size = size
        self.files = files
        self.spaces: dict[str, _Space] = {}
        self.born = 0
        self.running = True
        self.lines: list[str] = []
        self.stock = random.choice((4, 15, 40) if size.most < 100 else (15, size.most))
        share = random.choice((0.25, 0.5, 0.8, 1.0))
        self.features = [name for name in FEATURES if random.random() < _RARE.get(name, share)]
        if nodes > 1:
            self.features.append("moves")
        if not files and "file" in self.features:
            self.features.remove("file")

    def write(self, seed: int) -> str:
        """Return the whole text."""
        self.say(f"# seed {seed}", "basic", *self.features)
        self.start()
        table = self.table()
        steps, weights = list(table), list(table.values())
        for _ in range(self.random.randint(*self.size.steps)):
            self.random.choices(steps, weights)[0]()
            if not self.running and self.random.random() < 0.2:
                self.set_run("1")
            if self.random.random() < 0.7:
                self.say("counters")
        self.end()
        return "\n".join(self.lines) + "\n"

    def table(self) -> dict[Callable[[], None], int]:
        """Return what may happen, and how often in proportion."""
        table: dict[Callable[[], None], int] = {self.scan: 30, self.passes: 9, self.fill: 10, self.poke: 14}
        table |= {self.vm: 4, self.sharing: 4, self.digest: 1}
        more: dict[str, dict[Callable[[], None], int]] = {
            "exit": {self.exit: 4},
            "fork": {self.fork: 4},
            "discard": {self.discard: 6},
            "unmap": {self.unmap: 3},
            "unmerge": {self.unmergeable: 4, self.mergeable: 4},
            "read": {self.read: 5},
            "run": {self.run: 5},
            "knobs": {self.knob: 5},
            "refused": {self.refused: 3},
            "advisor": {self.advisor: 3},
            "long": {self.long: 1},
            "moves": {self.migrate: 14, self.node: 2, self.where: 4},
        }
        for feature in self.features:
            table |= more.get(feature, {})
        return table

    def start(self) -> None:
        """Set the tunables that the features ask for, and start the first processes."""
        if "chains" in self.features:
            self.say("set max_page_sharing", self.random.choice((2, 2, 3, 4, 8)))
        self.say("set stable_node_chains_prune_millisecs", self.random.choice(PRUNES))
        if "moves" in self.features and self.random.random() < 0.9:
            self.say("set merge_across_nodes 0")
        if "smart" in self.features:
            self.say("set smart_scan 1")
        if "zero" in self.features:
            self.say("set use_zero_pages 1")
        if "corner" in self.features:
            self.corner()
        for _ in range(self.random.randint(1, 3)):
            self.vm()

    def end(self) -> None:
        """Let everything settle, and look at all of it."""
        if not self.running:
            self.set_run("1")
        self.say("pass", self.random.choice(("", "2", "3")))
        for word in ("counters", "sharing", *(("nodes",) if self.nodes > 1 else ()), "digest"):
            self.say(word)

    def say(self, *words: object) -> None:
        """Add a line."""
        self.lines.append(" ".join(str(word) for word in words if word != ""))

    # Numbers, pages, contents

    def number(self, value: int) -> str:
        """Write a number, now and then in hexadecimal."""
        return hex(value) if self.random.random() < 0.05 else str(value)

    def pick(self) -> str:
        """Return a living process that has pages; start one if there is none."""
        if not self.peopled():
            self.vm()
        return self.random.choice([name for name, space in self.spaces.items() if space.mapped])

    def peopled(self) -> bool:
        """Whether anybody lives who has pages."""
        return any(space.mapped for space in self.spaces.values())

    def stretch(self, name: str) -> tuple[int, int]:
        """Return a range of mapped pages, mostly a short one."""
        mapped = self.spaces[name].mapped
        first = last = self.random.randrange(len(mapped))
        longest = max(1, int(len(mapped) ** self.random.random()))
        while last + 1 < len(mapped) and mapped[last + 1] == mapped[last] + 1 and last + 1 - first < longest:
            last += 1
        return mapped[first], mapped[last]

    def range(self, lo: int, hi: int) -> str:
        """Write a range."""
        if lo == hi and self.random.random() < 0.5:
            return self.number(lo)
        return f"{self.number(lo)}..{self.number(hi)}"

    def content(self, count: int) -> str:
        """Return a content for so many pages, from a small stock, so that equal pages are frequent."""
        weights = (2, 4, 5, 3 if "file" in self.features else 0)
        kind = self.random.choices(("zero", "key", "seed", "file"), weights)[0]
        if kind == "zero":
            return kind
        if kind == "file":
            return self.file(count)
        return f"{kind} {self.number(self.random.randrange(self.stock))}{self.random.choice(('', '+'))}"

    def file(self, count: int) -> str:
        """Return pages of a file, if it has so many."""
        path = self.random.choice(list(self.files))
        spare = self.files[path] - count
        if spare < 0:
            return "seed 1+"
        page = self.random.randint(0, spare)
        return f"file {path} {self.number(page)}" if page else f"file {path}"

    # Steps

    def scan(self) -> None:
        """A batch: often a few pages, so that things happen in the midst of a scan."""
        most = len([page for space in self.spaces.values() for page in space.mapped])
        pages = self.random.choice((1, 2, 3, 5, 8, 13, 30, 60, 200, max(1, most // 3), most + 1))
        self.say("scan", self.number(self.random.choices((pages, 0, 4294967295), (60, 1, 2))[0]))

    def passes(self) -> None:
        """Whole scans."""
        self.say("pass", self.random.choice(("", "", "", "1", "2", "0x3", "5")))

    def long(self) -> None:
        """So many scans that counters of eight bits wrap."""
        self.say("pass", self.random.randint(250, 270))

    def fill(self) -> None:
        """Store contents."""
        name = self.pick()
        lo, hi = self.stretch(name)
        self.say("fill", name, self.range(lo, hi), self.content(hi - lo + 1))

    def poke(self) -> None:
        """Store a byte: at either end or anywhere, often a zero where a zero is."""
        name = self.pick()
        page = self.random.choice(self.spaces[name].mapped)
        offset = self.random.choice((0, 7, 8, 4095, self.random.randrange(PAGE_SIZE)))
        byte = self.random.choice((0, self.random.randrange(256)))
        self.say("poke", name, self.number(page), self.number(offset), self.number(byte))

    def vm(self) -> None:
        """A new process, most of it filled with one content after the other."""
        if self.born >= self.size.processes and self.peopled():
            return self.fill()
        name = self.empty_vm()
        page, pages = 0, len(self.spaces[name].mapped)
        longest = max(7, pages // 12)
        while page < pages:
            last = min(pages - 1, page + self.random.randrange(longest))
            if self.random.random() < 0.9:
                self.say("fill", name, self.range(page, last), self.content(last - page + 1))
            page = last + 1
        return None

    def empty_vm(self) -> str:
        """A new process that has touched nothing."""
        pages = self.random.randint(self.size.least, self.size.most)
        name = self.born_with(list(range(pages)))
        self.say("vm", name, self.number(pages), *self.bound())
        return name

    def bound(self) -> list[str]:
        """Say on which node a process lives, if there are several."""
        return [f"node={self.random.randrange(self.nodes)}"] if self.nodes > 1 else []

    def born_with(self, mapped: list[int]) -> str:
        """Enter a new process into the model; return its name."""
        name = f"v{self.born}"
        self.born += 1
        self.spaces[name] = _Space(mapped)
        return name

    def fork(self) -> None:
        """A child; forks of forks as it happens."""
        if self.spaces and self.born < self.size.processes:
            self.fork_of(self.random.choice(list(self.spaces)))

    def fork_of(self, name: str) -> None:
        """A child of that process."""
        self.say("fork", name, self.born_with(list(self.spaces[name].mapped)))

    def corner(self) -> None:
        """A page that waits in the unstable tree is merged unnoticed, then a further page matches it.

        The further page's merge is undone, and who shares it by fork is left with a merged page that no
        stable node knows. Random steps find their way here only by a rare chance.
        """
        self.say("set max_page_sharing 2")
        changed, waiting = self.empty_vm(), self.empty_vm()
        self.say("fill", changed, "0 key", self.random.randrange(self.stock))
        content = self.random.choice(("zero", "seed 3", "key 99"))
        self.say("fill", waiting, 0, content)
        self.fork_of(waiting)
        further = self.empty_vm()
        self.say("fill", further, 0, content)
        self.fork_of(further)
        for line in ("pass", "scan 2", f"fill {changed} 0 {content}", *["scan 1", "counters", "sharing"] * 3):
            self.say(line)

    def exit(self) -> None:
        """An end, now and then that of everybody."""
        names = list(self.spaces)
        if names:
            for name in names if self.random.random() < 0.05 else [self.random.choice(names)]:
                del self.spaces[name]
                self.say("exit", name)

    def ranged(self, word: str, whole: float = 0.1) -> tuple[str, int, int]:
        """A step on some pages of a process, or (in a share of cases) on all, if they are in one piece."""
        name = self.pick()
        mapped = self.spaces[name].mapped
        lo, hi = self.stretch(name)
        if mapped[-1] - mapped[0] == len(mapped) - 1 and self.random.random() < whole:
            lo, hi = mapped[0], mapped[-1]
        self.say(word, name, self.range(lo, hi))
        return name, lo, hi

    def read(self) -> None:
        """Loads."""
        self.ranged("read")

    def discard(self) -> None:
        """Pages given back."""
        self.ranged("discard")

    def mergeable(self) -> None:
        """Advice."""
        self.ranged("mergeable", 0.4)

    def unmergeable(self) -> None:
        """The contrary advice."""
        self.ranged("unmergeable", 0.3)

    def unmap(self) -> None:
        """Pages gone for ever."""
        name, lo, hi = self.ranged("unmap")
        space = self.spaces[name]
        space.mapped = [page for page in space.mapped if not lo <= page <= hi]

    def migrate(self) -> None:
        """Pages to another node, or to their own."""
        name = self.pick()
        lo, hi = self.stretch(name)
        node = self.random.randrange(self.nodes)
        self.say("migrate", name, self.range(lo, hi), node, "all" if self.random.random() < 0.8 else "")

    def node(self) -> None:
        """Another node to live on."""
        self.say("node", self.pick(), self.random.randrange(self.nodes))

    def where(self) -> None:
        """Which node each page is on."""
        self.say("nodes")

    def run(self) -> None:
        """Stop, go on, undo all."""
        self.set_run(self.random.choice(("0", "1", "2")))

    def set_run(self, value: str) -> None:
        """Write run, and remember whether ksmd scans."""
        self.say("set run", value)
        self.running = value == "1"

    def knob(self) -> None:
        """A tunable, to a value that it takes (or would, if nothing were merged)."""
        knob = self.random.choice([*TAKEN, "smart_scan", "use_zero_pages", "max_page_sharing"])
        self.say("set", knob, self.random.choice(TAKEN[knob]))

    def refused(self) -> None:
        """A tunable, to a value that it does not take."""
        knob = self.random.choice(list(REFUSED))
        self.say("set", knob, self.random.choice(REFUSED[knob]))

    def advisor(self) -> None:
        """The advisor on or off, or a store that it refuses; the size of a batch stays the script's."""
        stores = ("advisor_mode scan-time", "advisor_mode none", "pages_to_scan 50")
        self.say("set", self.random.choice(stores))

    def sharing(self) -> None:
        """Who shares with whom."""
        self.say("sharing")

    def digest(self) -> None:
        """What everybody reads, which maps the zero page where nothing was."""
        self.say("digest")
