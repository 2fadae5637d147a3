"""Findings for people: by group, a line each, the remedy below what is not as it should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from vmdedup.doctor.finding import Finding, Status

HEADINGS: Final = {
    "ksm": "the kernel's KSM",
    "merging": "is anything merging?",
    "ksmtuned": "ksmtuned",
    "guest": "guests",
    "kvm": "KVM",
    "qemu": "QEMU",
    "libvirt": "libvirt",
    "ansible": "Ansible",
    "images": "building images",
    "room": "room",
}
_WIDTH: Final = max(map(len, Status))


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """The text, line by line."""
    for group, heading in HEADINGS.items():
        members = [finding for finding in findings if finding.group == group]
        if members:
            yield heading
            for finding in members:
                yield from _lines(finding)
            yield ""
    yield summary(findings)


def _lines(finding: Finding) -> Iterator[str]:
    yield f"  {finding.status.value:<{_WIDTH}}  {finding.text}"
    if finding.remedy and finding.status is not Status.OK:
        yield f"  {'':<{_WIDTH}}  → {finding.remedy}"


def summary(findings: Sequence[Finding]) -> str:
    """How many of each: "1 problem, 2 warnings, 3 notes, 20 ok"."""
    counts = {status: sum(finding.status is status for finding in findings) for status in reversed(Status)}
    words = [
        f"{count} {status.value}{'s' if count != 1 and status is not Status.OK else ''}"
        for status, count in counts.items()
        if count
    ]
    return ", ".join(words)
