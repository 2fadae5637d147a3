"""Models that were made to do harm: each is refused in a line, before anything is unpacked that is not there."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vmdedup.cli import run_command
from vmdedup.errors import UsageError
from vmdedup.learn.file import MAGIC, ModelFile

SEEN = {"with addresses": [1, 0], "without addresses": [0, 1], "unseen": [0, 0]}
ARRAYS: dict[str, Any] = {
    "layouts": np.array([[0, 1, 2, -1], [0, 2, 2, -1]], "<i4"),
    "slots": np.array([0, 1, 2], "<i4"),
    "variants": np.array([0, 0, 1], "<u1"),
    "levels": np.array([0, 16, 3], "<u1"),
    "like": np.array([0, 0, 0], "<i4"),
}


def header() -> dict[str, Any]:
    boot = {"name": "a", "format": "raw", "present": 3, "zero": 1, "distinct": 2}
    return {
        "schema_version": 1,
        "kind": "model of guests",
        "seed": 5,
        "boots": [boot, boot],
        "present": 3.0,
        "zero": 1,
        "seen": SEEN,
        "spread": {"held": 0.01, "shared": 0.01},
        "lives": [None, None],
    }


def model(change: Callable[[dict[str, Any], dict[str, Any]], object] = lambda said, arrays: None) -> bytes:
    said, arrays = header(), dict(ARRAYS)
    change(said, arrays)
    packs = [zlib.compress(array.tobytes()) for array in arrays.values()]
    said["arrays"] = said.get("arrays") or [
        {"name": name, "shape": list(array.shape), "bytes": len(pack), "crc": zlib.crc32(pack)}
        for (name, array), pack in zip(arrays.items(), packs, strict=True)
    ]
    text = json.dumps(said).encode()
    return MAGIC + struct.pack("<I", len(text)) + text + b"".join(packs)


def test_what_is_sound_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.guest").write_bytes(model())
    with ModelFile(tmp_path / "a.guest") as file:
        assert (file.model.places, file.model.seed, file.has_contents) == (4, 5, False)
    assert run_command(["learn", "--show", str(tmp_path / "a.guest")]) == 0
    assert "2 boots of 16KiB: a, a" in capsys.readouterr().out


def _place(name: str, /, **changed: object) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    """One array described otherwise."""

    def change(said: dict[str, Any], arrays: dict[str, Any]) -> None:
        packs = {each: zlib.compress(array.tobytes()) for each, array in arrays.items()}
        said["arrays"] = [
            {"name": each, "shape": list(array.shape), "bytes": len(packs[each]), "crc": zlib.crc32(packs[each])}
            | (changed if each == name else {})
            for each, array in arrays.items()
        ]

    return change


def _array(name: str, array: object, kind: str = "<i4") -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda said, arrays: arrays.update({name: np.array(array, kind)})


def _said(**changed: object) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda said, arrays: said.update(changed)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "does not begin like one"),
    "cut": (MAGIC + b"\x01", "ends too early"),
    "a long header": (MAGIC + struct.pack("<I", 1 << 31), "header is too long"),
    "a header cut": (MAGIC + struct.pack("<I", 100) + b"{}", "ends too early"),
    "no JSON": (MAGIC + struct.pack("<I", 2) + b"\xff{", "no JSON document"),
    "nested": (MAGIC + struct.pack("<I", 100_000) + b"[" * 100_000, "nested deeper"),
    "empty": (MAGIC + struct.pack("<I", 2) + b"{}", "kind"),
    "another kind": (model(_said(kind="x")), "of another kind"),
    "another version": (model(_said(schema_version=2)), "another version"),
    "no boots": (model(_said(boots=[])), "no boots"),
    "257 boots": (model(_said(boots=[header()["boots"][0]] * 257)), "no boots"),
    "a boot of text": (model(_said(boots=["a", "b"])), "damaged"),
    "a seed of 2^64": (model(_said(seed=1 << 63 << 1)), "damaged|too large"),
    "a negative count": (model(_said(seen=SEEN | {"unseen": [-1, 0]})), "no number|is none"),
    "infinite": (MAGIC + struct.pack("<I", 14) + b'{"zero": 1e99}', "damaged"),
    "more than all": (model(_said(spread={"held": 2, "shared": 0})), "is none"),
    "lives of others": (model(_said(lives=[None])), "how it changes"),
    "rates of nobody": (model(_array("rates", [[1, 2, 3, 4]], "<u1")), "rates of change"),
    "life without rates": (
        model(
            _said(lives=[{"interval_ns": 5, "to": dict.fromkeys(("absent", "zero", "elsewhere", "new"), 0.2)}, None])
        ),
        "rates of change",
    ),
    "no time": (model(_said(lives=[{"interval_ns": 0, "to": {}}, None])), "without time"),
    "a bomb": (model(_place("levels", shape=[1 << 30])), "far too large"),
    "2^62 places": (model(_place("layouts", shape=[1 << 31, 1 << 31])), "far too large"),
    "too short": (model(_place("levels", shape=[30])), "cannot be unpacked"),
    "too long": (model(_place("levels", shape=[1])), "cannot be unpacked"),
    "a checksum": (model(_place("levels", crc=1)), "another checksum"),
    "another name": (model(_place("levels", name="slots")), "is missing"),
    "of more dimensions": (model(_place("levels", shape=[1, 3])), "not described"),
    "a layout too few": (model(_array("layouts", [[0, 1, 2, -1]])), "a layout for each boot"),
    "no places": (model(_array("layouts", np.zeros((2, 0)))), "a layout for each boot"),
    "a content that is not there": (model(_array("layouts", [[0, 3], [0, 1]])), "layouts names what is not there"),
    "a slot that is not there": (model(_array("slots", [0, -1, 1])), "slots names"),
    "of unequal length": (model(_array("like", [0, 0])), "not equally long"),
    "worse than not packed": (model(_array("levels", [0, 17, 1], "<u1")), "worse than not at all"),
    "contents elsewhere": (model(_array("packs", [1 << 40], "<u8")), "not where they should be"),
}


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_refused_in_a_line(tmp_path: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.guest"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        ModelFile(path)
    assert run_command(["learn", "--show", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
