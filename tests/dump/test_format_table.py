"""The one table of dump formats: what is declared there is known to scan, to open_dump and in the help, and no more."""

from __future__ import annotations

import sys
from importlib import reload
from pathlib import Path
from types import ModuleType

import pytest

import vmdedup.cli.scan
from kit.dump_contents import contents
from kit.dump_writers_samples import FILES, PAGES, write_cloud_hypervisor, write_criu
from vmdedup.dump import formats
from vmdedup.dump.base import Region
from vmdedup.dump.extents import Extent, ExtentDump
from vmdedup.dump.file import DumpFile
from vmdedup.dump.open import folder_reader, open_dump
from vmdedup.errors import DumpError
from vmdedup.scan import scan_dumps

READERS = [reader for reader in formats.table.readers if reader.format != "export"]
DOCUMENT = (Path(__file__).parents[2] / "docs" / "real.md").read_text()
ADDED = """< sealed sealed:open_sealed Sealed memory
0 SEALED01 a sealed memory
/ chest chest Chest
"""


def named_in_help(names: str) -> bool:
    """Whether `vmdedup scan --help` says so, wherever its lines break."""
    return " ".join(names.split()) in " ".join(reload(vmdedup.cli.scan).HELP.split())


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.format)
def test_each_format_is_known_everywhere(reader: formats.Reader, tmp_path: Path) -> None:
    """Its opener is there; no line of its magics is scanned as raw memory; people are told its name."""
    assert callable(reader.load())
    assert not reader.names or named_in_help(reader.names)
    assert all(name in DOCUMENT for name in reader.names.split(", "))
    kinds = [kind for kind in formats.kinds() if kind.reader is reader]
    assert kinds
    for kind in kinds:
        path = tmp_path / "x"
        path.write_bytes(kind.magic.ljust(4096, b"\1"))
        for read in (open_dump, lambda path: scan_dumps([path])):
            with pytest.raises(DumpError) as refused:
                read(path)
            assert "raw" not in str(refused.value)


@pytest.mark.parametrize("kind", sorted(FILES))
def test_each_sample_is_read_as_what_it_is(kind: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(FILES[kind][0])
    with open_dump(tmp_path / "x") as dump:
        form = dump.format
    assert scan_dumps([tmp_path / "x"]).dumps[0]["format"] == form
    assert (form == "raw") == (kind == "raw")


def test_each_folder_is_known_everywhere(tmp_path: Path) -> None:
    written = {"criu": write_criu, "cloud-hypervisor": write_cloud_hypervisor}
    for reader in formats.folders():
        assert named_in_help(reader.names)
        assert reader.names in DOCUMENT
        with pytest.raises(DumpError, match=reader.names):
            open_dump(tmp_path)
        assert callable(reader.load("open_directory"))
    for name, write in written.items():
        (tmp_path / name).mkdir()
        found = folder_reader(write(tmp_path / name))
        assert found is not None
        assert found.format == name


def test_what_is_added_to_the_table_is_at_once_known_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A format of files, and one of folders: nothing but the table and a reader is written."""

    def open_sealed(file: DumpFile) -> ExtentDump:
        pages = file.size // 4096 - 1
        return ExtentDump(
            file.name, "sealed", [Region("memory", 0, pages)], [file], lambda: iter([Extent(0, 0, pages, 4096)])
        )

    sealed, chest = ModuleType("sealed"), ModuleType("chest")
    vars(sealed)["open_sealed"] = open_sealed
    vars(chest)["is_directory"] = lambda path: (path / "lid").exists()
    vars(chest)["open_directory"] = lambda path, name: open_sealed(DumpFile(path / "lid", name))
    for module in (sealed, chest):
        monkeypatch.setitem(sys.modules, f"vmdedup.dump.{module.__name__}", module)
    text = Path(formats.TABLE).read_text()
    monkeypatch.setattr(formats, "table", formats.Table(text.replace("\n# Dumps\n\n", f"\n# Dumps\n\n{ADDED}")))
    (tmp_path / "box").mkdir()
    for path in (tmp_path / "x", tmp_path / "box" / "lid"):
        path.write_bytes(b"SEALED01".ljust(4096, b"\0") + PAGES[2] + PAGES[3])
    for name in ("x", "box"):
        with open_dump(tmp_path / name) as dump:
            assert contents(dump) == {0: PAGES[2], 1: PAGES[3]}
        (scanned,) = scan_dumps([tmp_path / name]).dumps
        assert (scanned["format"], scanned["read"]) == ("sealed", 2)
    assert named_in_help("Sealed memory")
    assert named_in_help("directory of Chest")
    with pytest.raises(DumpError, match="Chest"):
        open_dump(tmp_path)


@pytest.fixture(autouse=True)
def _help_as_before() -> None:
    """Tests reload the module of the command's help."""
    reload(vmdedup.cli.scan)
