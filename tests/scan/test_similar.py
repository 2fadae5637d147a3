"""--subpage: similar pages against a slow oracle, sizes in real bytes, samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.scan_oracle import PAGE, ZERO, Pages, write_raw
from vmdedup.errors import UsageError
from vmdedup.scan import scan_dumps
from vmdedup.scan.similar import CODECS, Similar
from vmdedup.subpage import compression, delta
from vmdedup.subpage.detector import HashSimilarityDetector

MIB = 1 << 20


def memory(seed: int, count: int = 300) -> list[bytes]:
    """Zeros, copies, random pages, pages of text, and pages that differ from others in some places."""
    draw = np.random.default_rng(seed)
    bases = [np.random.default_rng(99 + n).bytes(PAGE) for n in range(20)]
    pages: list[bytes] = []
    for _ in range(count):
        kind = int(draw.integers(5))
        base = bytearray(bases[int(draw.integers(20))])
        if kind == 0:
            pages.append(ZERO)
        elif kind == 1:
            pages.append(bytes(base))
        elif kind == 2:
            pages.append(draw.bytes(PAGE))
        elif kind == 3:
            pages.append((b"%d bottles " % draw.integers(9)) * 800 + bytes(PAGE))
            pages[-1] = pages[-1][:PAGE]
        else:
            start, length = int(draw.integers(PAGE)), int(draw.integers(1, 3000))
            base[start : start + length] = draw.bytes(len(base[start : start + length]))
            pages.append(bytes(base))
    return pages


def oracle(dumps: list[Pages], settings: Similar) -> dict[str, Any]:
    """The same, page by page, with nothing but a list of contents."""
    contents = list(dict.fromkeys(page for dump in dumps for page in dump if page != ZERO))
    detector = HashSimilarityDetector(settings.k, settings.s, settings.c, PAGE, settings.bits, settings.seed)
    patches: dict[int, int] = {}
    references: set[int] = set()
    for number, page in enumerate(contents):
        signatures = detector.signatures(np.frombuffer(page, np.uint8)[None])[0]
        found = [(len(delta.patch(contents[at], page)), at) for at in detector.candidates(signatures)]
        if found and min(found)[0] <= delta.CUT_OFF:
            patches[number] = min(found)[0]
            references.add(min(found)[1])
        else:
            detector.remember(number, signatures)
    rest = [page for at, page in enumerate(contents) if at not in patches and at not in references]
    return {
        "pages": len(contents),
        "patches": (len(patches), sum(patches.values())),
        "references": len(references),
        "rest": len(rest),
        **{codec: (packed(contents, codec), packed(rest, codec)) for codec in CODECS},
    }


def packed(pages: list[bytes], codec: compression.Codec) -> int:
    return sum(min(PAGE, len(compression.compress(page, codec))) for page in pages)


@pytest.mark.parametrize(
    "settings",
    [Similar(), Similar(k=4, s=1, c=2, bits=18), Similar(k=1, s=2, c=8, seed=3), Similar(bits=4)],
    ids=["default", "(4,1),2", "(1,2),8", "4 bits"],
)
def test_against_the_oracle(tmp_path: Path, settings: Similar) -> None:
    dumps = [memory(seed) for seed in (1, 2)]
    paths = [write_raw(tmp_path / f"{at}.raw", pages) for at, pages in enumerate(dumps)]
    found = scan_dumps(paths, similar=settings).document["subpage"]
    wanted = oracle([*dumps], settings)
    assert (found["pages"], found["references"], found["rest"]) == (
        wanted["pages"],
        wanted["references"],
        wanted["rest"],
    )
    assert (found["patching"]["pages"], found["patching"]["bytes"]) == wanted["patches"]
    count, size = wanted["patches"]
    assert found["patching"]["saved_mib"] == (count * PAGE - size) / MIB
    for codec in CODECS:
        assert (found[codec]["bytes"], found[codec]["rest_bytes"]) == wanted[codec]
        assert found[codec]["saved_mib"] == (wanted["pages"] * PAGE - wanted[codec][0]) / MIB
    assert found["sample"] == 1
    assert found["patching"]["pages"] > 20


def test_planted_pages_are_patched(tmp_path: Path) -> None:
    """Pages of known distance: n bytes changed in a page of noise."""
    base = np.random.default_rng(1).bytes(PAGE)
    near = [bytes([base[0] ^ n]) + base[1:] for n in range(1, 50)]
    found = scan_dumps([write_raw(tmp_path / "a", [base, *near])], similar=Similar()).document["subpage"]
    assert (found["patching"]["pages"], found["references"], found["rest"]) == (49, 1, 0)
    assert found["patching"]["mean_bytes"] < 32
    assert found["lz4"]["saved_mib"] == 0, "noise cannot be packed"


def test_a_sample_estimates_and_says_so(tmp_path: Path) -> None:
    paths = [write_raw(tmp_path / "a", memory(1, 3000))]
    whole = scan_dumps(paths, similar=Similar()).document["subpage"]
    some = scan_dumps(paths, similar=Similar(sample=0.3)).document["subpage"]
    assert some["sample"] == 0.3
    assert 0.2 < some["sampled"] / some["pages"] < 0.4
    assert some["pages"] == whole["pages"]
    for name in ("lz4", "zstd", "patching"):
        assert some[name]["bytes"] == pytest.approx(whole[name]["bytes"], rel=0.2)
    none = scan_dumps(paths, similar=Similar(sample=0.0)).document["subpage"]
    assert (none["sampled"], none["patching"]["pages"], none["lz4"]["bytes"]) == (0, 0, 0)


def test_nothing_but_zeros(tmp_path: Path) -> None:
    found = scan_dumps([write_raw(tmp_path / "a", [ZERO] * 5)], similar=Similar()).document["subpage"]
    assert (found["pages"], found["patching"]["pages"]) == (0, 0)


def test_exports_have_no_contents(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.raw", memory(1, 5))
    scan_dumps([path], hashes_only=tmp_path / "a.parquet")
    with pytest.raises(UsageError, match="needs contents"):
        scan_dumps([tmp_path / "a.parquet"], similar=Similar())


def test_interrupted_it_is_left_out(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.raw", memory(1, 50))
    asked = iter([False, False, True, True, True])
    result = scan_dumps([path], similar=Similar(), stop=lambda: next(asked))
    assert result.partial
    assert result.total["read"] == 50
    assert result.document["subpage"] is None
