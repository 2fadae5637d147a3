"""What the leak meter found, as tables for people: every column with its unit, and what the words mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmdedup.leak.attack import Channel, Leak

_CHANNELS = ("policy", "channel", "AUC", "bits", "of", "off by", "what shows it")
_WRITES = ("policy", "right found", "wrong taken", "merged", "s to merge", "s waited", "bytes/hour")
_TIMES = ("policy", "write merged", "write private", "read merged", "read private", "copies")
_NAMES = {"room": "room left", "pace": "pace of merging"}
_PLURAL = {"right guesses": "right guess", "pages": "page of the victim's"}

GLOSSARY = """\
channel     how it is learnt: by the time of the attacker's own writes, or reads; by room left, how many pages more fit
            before the host refuses; by pace of merging, how long it takes until two equal pages of its own are merged.
AUC         of two secrets, how often the attacker says rightly which is the larger (of two guesses: which is right).
            0.5 is a coin's toss: nothing is told; 1 (or 0) is always: everything.
bits        what one attempt tells, of so many bits that there are to know: for writes and reads whether a guess is
            right; for room how many guesses are; for pace how many pages the victim has. 0: chance shows as much.
off by      root mean square of what the attacker's guesses at the secret are off. -: nothing is told.
merged      right guesses, of those written to, that were found merged with the victim's page.
copies      what the attacker's accesses had the host copy or rebuild."""


def render(found: Sequence[Leak]) -> str:
    """The text, without a newline at the end."""
    trials = max((len(channel.secrets) for channel in found[0].channels), default=0)
    parts = [
        f"What an attacker learns of another guest, by channel (room and pace tried {trials} times each)",
        *_rows([_CHANNELS, *(row for each in found for row in _channels(each))], left=2),
        "",
        "Writes: a slow one is taken for a right guess",
        *_rows([_WRITES, *(_writes(each) for each in found)]),
        "",
        "Medians of the times of first accesses, µs",
        *_rows([_TIMES, *(_times(each) for each in found)]),
        "",
        GLOSSARY,
    ]
    return "\n".join(parts)


def _rows(rows: list[tuple[str, ...]], left: int = 1) -> Iterator[str]:
    """Lines of a table. left: so many columns begin at the left, and the last one does if they are several."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:left], widths, strict=False)]
        cells += [cell.rjust(width) for cell, width in zip(row[left:], widths[left:], strict=True)]
        if left > 1:
            cells[-1] = row[-1]
        yield "  ".join(cells).rstrip()


def _channels(found: Leak) -> Iterator[tuple[str, ...]]:
    apart = (found.right_ns - found.wrong_ns, found.read_right_ns - found.read_wrong_ns)
    for name, auc, bits, more in zip(
        ("writes", "reads"),
        (found.auc, found.read_auc),
        (found.bits_per_guess, found.read_bits_per_guess),
        apart,
        strict=True,
    ):
        shows = f"{more / 1000:+.3g} µs for a right guess" if bits else "-"
        yield found.policy, name, f"{auc:.3f}", f"{bits:.2f}", "1.00", "-", shows
    for channel in found.channels:
        yield found.policy, _NAMES[channel.name], *_channel(channel)


def _channel(channel: Channel) -> tuple[str, ...]:
    bits, most = f"{channel.bits:.2f}", f"{channel.bits_possible:.2f}"
    if channel.error is None or channel.seen_per_secret is None:
        return f"{channel.auc:.3f}", bits, most, "-", "-"
    off = f"{channel.error:.3g} {channel.secret_unit}"
    more, unit = channel.seen_per_secret, channel.seen_unit
    if unit == "s":
        more, unit = 1e6 * more, "µs"
    return f"{channel.auc:.3f}", bits, most, off, f"{more:+.3g} {unit} for each {_PLURAL[channel.secret_unit]}"


def _writes(found: Leak) -> tuple[str, ...]:
    return (
        found.policy,
        f"{found.true_positives:.1%}",
        f"{found.false_positives:.1%}",
        str(found.merged),
        "-" if found.seconds_to_merge is None else f"{found.seconds_to_merge:.1f}",
        f"{found.waited:.1f}",
        f"{found.bytes_per_hour:.1f}",
    )


def _times(found: Leak) -> tuple[str, ...]:
    times = (found.right_ns, found.wrong_ns, found.read_right_ns, found.read_wrong_ns)
    return found.policy, *(f"{each / 1000:.3g}" for each in times), str(found.copies)
