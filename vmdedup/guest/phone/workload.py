"""phone: one system whose apps all fork from one zygote; the user goes from one to the next.

A phone is one address space here, not one for each app. What fork shares is one page inside the phone, so it takes one
page of the address space: the zygote's heap and the page cache are there once, and an app has places only for what is
its own. That is also all that a scanner could ever save. With an address space for each app the shared pages would be
counted again for each, a guest could not live in one process, and the run could not go to a real kernel.
What a scanner needs beyond pages, the phone says in host memory (area_dtype of host.layout), as a kernel has it in its
own mappings: which run of pages is whose heap, stack or graphics, what is files, and whether its app is in the
foreground. Memory that a killed app leaves is free in the host at once, since the scanner of a phone is in the phone's
own kernel.

    ┌──────────────────────────────┬────────┬──────────┬──────────────────────┬──────────────────────┬─────┐
    │ kernel, page cache, services │ zygote │ services │ heap│stack│graphics  │ heap│stack│graphics  │  …  │
    │ of the boot                  │        │          │       a place        │       a place        │     │
    └──────────────────────────────┴────────┴──────────┴──────────────────────┴──────────────────────┴─────┘

When every place is taken the app that was longest in the background is killed; the phone counts as if nothing were
saved, so that it does the same under every policy. Sources: MemScope, APSys 2015; Sparrow, DATE 2024 (heaps
dominate, few identical pages, many similar ones); Kim, Jeong and Lee, ICCE 2014 (phases).
"""

from __future__ import annotations

import numpy as np

from vmdedup.guest.anonymous import Anonymous
from vmdedup.guest.index import Numbers
from vmdedup.guest.kinds import FileKind
from vmdedup.guest.phone.apps import STACK_SHARE, App, Place
from vmdedup.guest.phone.content import AppContent
from vmdedup.guest.phone.parameters import PhoneParameters
from vmdedup.guest.seeds import Stream, Zipf, split_seed
from vmdedup.guest.workloads.base import PAGES_PER_MIB, SMALL_BOOT, Budget, Workload, program_text
from vmdedup.host.layout import ANONYMOUS, BACKGROUND, FILES, FOREGROUND, UNKNOWN

_ARENA_SHARE = 0.85  # of the longest run of free pages: the rest is for files
_SPREAD = 0.5  # apps are smaller or larger than the average by up to this share
_STORE_BYTES = 8
_SERVICE_HOT = 2  # pages of a service that are stored to


class Phone(Workload[PhoneParameters]):
    """apps: running, by what the user calls them. launches, resumes, kills: how often each happened."""

    name = "phone"
    Parameters = PhoneParameters
    boot = SMALL_BOOT

    def setup(self) -> None:
        """Start the zygote and the services."""
        given = self.parameters
        self._arena = self.kernel.physical.reserve(int(_ARENA_SHARE * self.kernel.physical.free))
        self._content = AppContent(given, self.kernel.spec.heap, self.shared, self.pages(given.zygote_share))
        self._zipf = Zipf(given.installed, 0.7)
        self._order = Stream(split_seed(self.shared, "popular")).permutation(given.installed)
        self._services: list[App] = []
        self.apps: dict[int, App] = {}
        self.launches = self.resumes = self.kills = 0
        self._now_ms = self._left_ms = 0.0
        self._current = -1
        self._started = 0
        self._hot, self._frames = Budget(given.hot_mib_s * PAGES_PER_MIB), Budget(given.frames_mib_s * PAGES_PER_MIB)
        self._stores, self._ticks = Budget(given.stores_s), Budget(given.service_stores_s)
        self._reads = Budget(given.zygote_reads_s)
        self._fill = Budget(given.launch_mib_s * PAGES_PER_MIB)
        self._lay_out()

    # Places

    def _lay_out(self) -> None:
        given, (first, pages) = self.parameters, self._arena
        self.zygote = self._start_zygote(first, min(self.pages(given.zygote_share), pages // 4))
        taken = len(self.zygote)
        size = self.pages(given.service_share)
        for number in range(given.services if size else 0):
            if taken + size > pages // 2:
                break
            self._services.append(self._start(number, Place(number, first + taken, size), given.identical_services))
            taken += size
        wanted = max(STACK_SHARE, int((1 + _SPREAD) * self.pages(given.app_share)))
        each = min(wanted, (pages - taken) // 3)
        count = (pages - taken) // max(1, each)
        numbers = len(self._services) + np.arange(count)
        self._free = [Place(n, first + taken + i * each, each) for i, n in enumerate(numbers.tolist())][::-1]
        for service in self._services:
            service.fill(service.missing())
            service.declare(UNKNOWN)

    def _start_zygote(self, first: int, pages: int) -> Anonymous:
        memory = self.kernel.anonymous(self._content.make)
        memory.grow(first + np.arange(pages), self._content.zygote_keys()[:pages])
        self.kernel.memory.declare(0, 0, first, FILES, 0, UNKNOWN)
        self.kernel.memory.declare(1, first, pages, ANONYMOUS, 0, UNKNOWN)
        end = sum(self._arena)
        self.kernel.memory.declare(2, end, self.kernel.memory.pages - end, FILES, 0, UNKNOWN)
        return memory

    def _start(self, name: int, place: Place, identical: float, graphics: float = 0.0, pages: int = 0) -> App:
        self._started += 1
        pages = pages or place.pages
        stack, shown = -(-pages // STACK_SHARE), int(pages * graphics)
        seed = split_seed(self.kernel.seed, "app", name, self._started)
        sizes = (pages - stack - shown, stack, shown)
        app = App(self.kernel, self._content, self._started, seed, place, identical, sizes, self._text(name))
        app.start()
        return app

    def _text(self, name: int) -> Numbers:
        index = self.kernel.disk.index
        programs, libraries = index.of_kind(FileKind.PROGRAM), index.of_kind(FileKind.LIBRARY)
        files = np.concatenate((programs[name % len(programs) :][:1], libraries[:2]))
        limit = min(self.parameters.text_pages, self.kernel.memory.pages // 128)
        return np.unique(program_text(self.kernel, files, limit))

    # The user

    def step(self, ms: float) -> None:
        """Use the app in the foreground, or go to another; apps just left and services go on a little."""
        self._now_ms += ms
        self._left_ms -= ms
        if self._left_ms <= 0:
            self._left_ms += 1000.0 * self.parameters.switch_s
            self._switch()
        app = self.apps[self._current]
        app.used_ms = self._now_ms
        missing = app.missing()
        app.fill(min(missing, self._fill.due(ms)))
        self._read_zygote(self._reads.due(ms))
        self._store(ms)
        self._draw(app, ms)
        self._tick(ms)

    def _read_zygote(self, count: int) -> None:
        if len(self.zygote):  # the smallest phones have no room for one
            self.zygote.touch(np.unique(self.stream.integers(count, len(self.zygote))))

    def _switch(self) -> None:
        name = int(self._order[self._zipf.draw(self.stream, 1)[0]])
        if name == self._current:
            return
        if self._current >= 0:
            self.apps[self._current].declare(BACKGROUND)
        self._current = name
        if name not in self.apps:
            self._launch(name)
            return
        self.resumes += 1
        app = self.apps[name]
        app.declare(FOREGROUND)
        wanted = int(self.parameters.resume_share * len(app.heap))
        app.heap.touch(np.sort(self.stream.sample(wanted, len(app.heap))))

    def _launch(self, name: int) -> None:
        given = self.parameters
        self.launches += 1
        if not self._free:
            self._kill()
        place = self._free.pop()
        scale = 1.0 - _SPREAD + 2.0 * _SPREAD * float(Stream(split_seed(self.shared, "size", name)).uniform(1)[0])
        pages = min(place.pages, max(STACK_SHARE, int(scale * self.pages(given.app_share))))
        self.apps[name] = self._start(name, place, given.identical, given.graphics, pages)

    def _kill(self) -> None:
        """The low-memory killer: the app that was longest not used."""
        self.kills += 1
        name = min((n for n in self.apps if n != self._current), key=lambda n: self.apps[n].used_ms)
        app = self.apps.pop(name)
        app.end()
        self._free.append(app.place)

    # Stores

    def _store(self, ms: float) -> None:
        """Into the hot pages of the app that is used, and of those that were until a short time ago."""
        recent = self._now_ms - 1000.0 * self.parameters.settle_s
        apps = [app for app in self.apps.values() if app.used_ms >= recent and len(app.heap)]
        pages, words = self._hot.due(ms), self._stores.due(ms)
        for app in apps:
            hot = max(1, int(self.parameters.hot * len(app.heap)))
            which = np.unique(self.stream.integers(pages, hot))
            app.heap.rewrite(which, app.keys(len(which), ANONYMOUS))
            self._poke(app, self.stream.integers(words, hot))

    def _poke(self, app: App, which: Numbers) -> None:
        places = _STORE_BYTES * self.stream.integers(len(which), 4096 // _STORE_BYTES)
        data = self.stream.words(len(which)).view(np.uint8).reshape(-1, _STORE_BYTES)
        app.heap.poke(which, places, data)

    def _draw(self, app: App, ms: float) -> None:
        count = min(self._frames.due(ms), len(app.graphics))
        which = self.stream.sample(count, len(app.graphics))
        app.graphics.rewrite(which, app.keys(count, 2))

    def _tick(self, ms: float) -> None:
        count = self._ticks.due(ms)
        for number, times in enumerate(np.bincount(self.stream.integers(count, max(1, len(self._services))))):
            if number < len(self._services) and times:
                service = self._services[number]
                self._poke(service, self.stream.integers(int(times), min(_SERVICE_HOT, len(service.heap))))

    def verify(self) -> int:
        """Read back every page of zygote, services and apps that still holds what its key makes."""
        running = [*self._services, *self.apps.values()]
        return self.zygote.verify() + sum(app.verify() for app in running)
