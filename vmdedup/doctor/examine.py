"""All checks in order, judged by what is wanted of the machine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from vmdedup.doctor.check_guests import check_guests
from vmdedup.doctor.check_ksm import check_ksm
from vmdedup.doctor.check_merging import check_merging
from vmdedup.doctor.check_tools import check_tools
from vmdedup.doctor.check_tuned import check_tuned
from vmdedup.doctor.finding import Finding, Status
from vmdedup.doctor.scene import Scene

SCHEMA_VERSION: Final = 1
DEFAULT_PURPOSES: Final = ("merging",)


def examine(scene: Scene, purposes: Collection[str] = DEFAULT_PURPOSES) -> list[Finding]:
    """Everything found. A lack of something that a purpose needs is a problem, any other a warning.

    purposes: some of finding.PURPOSES. If one process was asked for, only KSM and that process are looked at.
    """
    checks = [check_ksm, check_merging, check_tuned, check_guests]
    if scene.chosen is None:
        checks.append(check_tools)
    return [finding.judged(purposes) for check in checks for finding in check(scene)]


def problems(findings: Sequence[Finding]) -> int:
    """How many findings are problems."""
    return sum(finding.status is Status.PROBLEM for finding in findings)


def document(findings: Sequence[Finding], purposes: Collection[str]) -> dict[str, Any]:
    """The JSON document."""
    return {
        "schema_version": SCHEMA_VERSION,
        "purposes": sorted(purposes),
        "problems": problems(findings),
        "findings": [finding.document() for finding in findings],
    }
