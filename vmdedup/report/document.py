"""The --json document: one JSON object with sorted keys and a schema_version, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmdedup.result.directory import json_bytes


def render(summary: Mapping[str, Any]) -> str:
    """The summary document of a run as text, without a newline at the end."""
    return json_bytes(summary).decode().rstrip("\n")
