"""This host's prices, as `vmdedup calibrate` measured them: a small file for all users, which root alone writes."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, Final

from vmdedup.errors import UsageError
from vmdedup.ksm.prices import BUILT_IN, Prices

PLACE: Final = Path("/var/lib/vmdedup/prices.json")
VARIABLE: Final = "VMDEDUP_PRICES"  # names another file, for those who cannot write there
SCHEMA_VERSION: Final = 1
_LARGEST: Final = 1 << 16  # bytes of the file
_DEAREST: Final = 1e9  # ns
_REMEDY: Final = "make it anew by `vmdedup calibrate`, or run with --prices built-in"


def place() -> Path:
    """Where reading runs look, and `vmdedup calibrate` writes."""
    return Path(os.environ.get(VARIABLE) or PLACE)


def host_prices() -> Prices | None:
    """This host's prices; None if it was not calibrated. UsageError: the file will not do."""
    document = read(place())
    return None if document is None else document["prices_ns"]


def read(path: Path) -> dict[str, Any] | None:
    """A file of prices, checked; None if there is none. UsageError: it is not to be trusted, or not understood."""
    try:
        text = _trusted_text(path)
        return None if text is None else _checked(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"prices of {path}: {error or type(error).__name__}; {_REMEDY}") from None
    except OSError as error:
        raise UsageError(f"prices of {path}: {error.strerror}; {_REMEDY}") from None


def _trusted_text(path: Path) -> str | None:
    """The file's text. ValueError: others could have written it, or it is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no file")
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError("others may write to it")
        text = file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError("it is larger than any list of prices")
    return text.decode()


def _checked(document: Any) -> dict[str, Any]:
    """The document, if it has a price for each operation and for no other. ValueError."""
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"schema_version is not {SCHEMA_VERSION}")
    prices = document.get("prices_ns")
    if not isinstance(prices, dict) or set(prices) != set(BUILT_IN):
        raise ValueError(f"prices_ns has not just {', '.join(BUILT_IN)}")
    for operation, price in prices.items():
        is_number = isinstance(price, int | float) and not isinstance(price, bool)
        if not (is_number and math.isfinite(price) and 0 <= price <= _DEAREST):
            raise ValueError(f"prices_ns.{operation} is no price in nanoseconds")
    return document
