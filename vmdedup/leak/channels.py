"""Two channels that need no clock of the guest's own accesses: how much room is left, and how soon pages are merged.

    room   the attacker plants guesses and waits; then it takes pages until the host refuses. Each page that was merged
           has made room for another: the count tells how many guesses were right.
    pace   the attacker plants two equal pages and waits until they are merged. The scanner has everybody's memory to go
           through, so the time tells how much the others have.

Both are tried again and again, with a secret drawn anew each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from vmdedup.errors import HostError
from vmdedup.host.rebuild import frames_behind
from vmdedup.leak.attack import Attack, Channel
from vmdedup.leak.estimate import judge
from vmdedup.leak.scene import ATTACKER, VICTIM, scene

MOST_PAGES = 2048  # of the victim: trials are many, and smaller guests tell as much
_LEAST_PART = 8  # the victim of a trial of pace has an eighth of its most pages at least
_OWN = 128  # the attacker's own pages in a trial of pace
_SLACK_PART = 4  # room beyond what all hold, in a trial of room: so much of the victim's memory
_ROUNDS = 2  # the least that a trial of room waits, so that no right guess at all takes as long
_TAKEN = b"!"

Tunables = Mapping[str, str]


def measure_channels(name: str, attack: Attack, tunables: Tunables) -> tuple[Channel, ...]:
    """Room and pace under a policy, if there are trials. The same attack gives the same result.

    Raises what leak.scene.scene does.
    """
    if not attack.trials:
        return ()
    return measure_room(name, attack, tunables), measure_pace(name, attack, tunables)


def measure_room(name: str, attack: Attack, tunables: Tunables) -> Channel:
    """Secrets: how many of the guesses that were planted are right, any number being as likely."""
    secrets = list(_secrets(attack, 0, 0, _guesses(attack)))
    seen = [room_left(name, attack, secret, number, tunables) for number, secret in enumerate(secrets)]
    return judge("room", "right guesses", "pages", secrets, seen, _guesses(attack) + 1)


def measure_pace(name: str, attack: Attack, tunables: Tunables) -> Channel:
    """Secrets: how many pages the victim has, from an eighth of its most on, any number being as likely."""
    most = _pages(attack)
    least = max(1, most // _LEAST_PART)
    secrets = list(_secrets(attack, 1, least, most))
    seen = [pace_of_merging(name, attack, secret, number, tunables) for number, secret in enumerate(secrets)]
    return judge("pace", "pages", "s", secrets, seen, most - least + 1)


def room_left(name: str, attack: Attack, right: int, number: int = 0, tunables: Tunables | None = None) -> int:
    """One trial: so many of the guesses are right. Returns how many pages more fit before the host refuses."""
    guesses, pages = _guesses(attack), _pages(attack)
    slack = pages // _SLACK_PART
    spare = slack + guesses + pages
    frames = pages + guesses + slack
    seed, draws = attack.seed + number, (attack.seed, 0, number)
    with scene(name, tunables or {}, pages + guesses + spare, seed, draws, frames) as here:
        victim = here.admit("victim", pages, VICTIM)
        attacker = here.admit("attacker", guesses, VICTIM if attack.together else ATTACKER, spare)
        secret, planted = here.random.permutation(pages)[:right], here.random.permutation(guesses)[:right]
        attacker.write_pages(planted, victim.read_pages(secret))
        here.wait(lambda: _are_one(attacker.entries[planted], victim.entries[secret]), _ROUNDS)
        for taken in range(spare):
            try:
                attacker.write(guesses + taken, _TAKEN)
            except HostError:
                return taken
        return spare


def pace_of_merging(name: str, attack: Attack, size: int, number: int = 0, tunables: Tunables | None = None) -> float:
    """One trial: the victim has so many pages. Returns how long it is until the attacker's own pages are merged, s.

    It has a pair of random pages, and one of empty ones, which some policies share alone; what comes first counts, a
    pair packed as well as a pair merged. When that is, is read from page tables: an attacker sees it by the time of a
    write, or, where times tell nothing, by the room that it makes. Never: until it would have waited no longer.
    """
    seed, draws = attack.seed + number, (attack.seed, 1, number)
    with scene(name, tunables or {}, size + _OWN, seed, draws) as here:
        here.admit("victim", size, VICTIM)
        attacker = here.admit("attacker", _OWN, VICTIM if attack.together else ATTACKER)
        pair, empty = np.array([0, 1]), np.array([2, 3])
        attacker.write_pages(pair[1:], attacker.read_pages(pair[:1]))
        attacker.write_pages(empty, np.zeros((2, here.host.page_size), np.uint8))
        while not here.is_over:
            here.step()
            if any(_are_one(attacker.entries[two[:1]], attacker.entries[two[1:]]) for two in (pair, empty)):
                break
        return here.now / 1e9


def _are_one(some: np.ndarray, others: np.ndarray) -> bool:
    """Whether pages that were present share their frames by now, each with its counterpart, or have none."""
    return bool((frames_behind(some) == frames_behind(others)).all())


def _secrets(attack: Attack, channel: int, least: int, most: int) -> Iterator[int]:
    random = np.random.default_rng((attack.seed, channel))
    return (int(secret) for secret in random.integers(least, most + 1, attack.trials))


def _pages(attack: Attack) -> int:
    return min(attack.pages, MOST_PAGES)


def _guesses(attack: Attack) -> int:
    return min(attack.guesses, _pages(attack) // 4)
