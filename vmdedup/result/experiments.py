"""What `vmdedup experiment run` keeps of published experiments, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vmdedup.errors import UsageError
from vmdedup.result.reading import read_document
from vmdedup.result.schema import Experiments, checked


def read_experiments(path: Path) -> dict[str, Any]:
    """The document. UsageError: there is none, or it is not what `experiment run` writes."""
    if not path.exists():
        raise UsageError(f"{path} does not exist; vmdedup experiment run … --output FOLDER writes one")
    document = read_document(path)
    if document.get("schema_version") == 1:
        raise UsageError(f"{path} is of an earlier version, whose verdicts meant something else; run them again")
    return checked(Experiments, document, path)
