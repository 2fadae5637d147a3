"""The grammar of KSM scripts: what each step becomes, and the one line that each mistake gets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmdedup.errors import ScriptError
from vmdedup.ksm.sysfs import TUNABLES
from vmdedup.replay import source, steps
from vmdedup.replay.content import FilePages, Key, Seed, Zero
from vmdedup.replay.script import parse, parse_text

GOLDEN = Path(__file__).parent.parent / "golden"
HERE = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("fork a b", steps.Fork(2, "a", "b")),
        ("exit a", steps.Exit(2, "a")),
        ("fill a 0..3 zero", steps.Fill(2, "a", 0, 3, Zero())),
        ("fill a 7 key 0x10", steps.Fill(2, "a", 7, 7, Key(16))),
        ("fill a 0x1..0XA key 5+", steps.Fill(2, "a", 1, 10, Key(5, 1))),
        ("fill a 0..99 seed 7", steps.Fill(2, "a", 0, 99, Seed(7))),
        ("fill a 0..0 seed 0x7+", steps.Fill(2, "a", 0, 0, Seed(7, 1))),
        ("poke a 3 4095 255", steps.Poke(2, "a", 3, 4095, 255)),
        ("read a 5..9", steps.Read(2, "a", 5, 9)),
        ("discard a 5", steps.Discard(2, "a", 5, 5)),
        ("unmap a 5..5", steps.Unmap(2, "a", 5, 5)),
        ("mergeable a 0..99", steps.Mergeable(2, "a", 0, 99)),
        ("unmergeable a 0..99", steps.Unmergeable(2, "a", 0, 99)),
        ("set run 2", steps.Set(2, "run", "2")),
        ("set pages_to_scan no-number", steps.Set(2, "pages_to_scan", "no-number")),
        ("scan 0", steps.Scan(2, 0)),
        ("scan 4294967295", steps.Scan(2, 4294967295)),
        ("pass", steps.Pass(2, 1)),
        ("pass 0x10", steps.Pass(2, 16)),
        ("counters", steps.Counters(2)),
        ("sharing", steps.Sharing(2)),
        ("\t digest   # of all", steps.Digest(2)),
        ("vm b 512 huge", steps.Vm(2, "b", 512, steps.Options(size="huge"))),
        ("vm b 5 plain node=7 anysize", steps.Vm(2, "b", 5, steps.Options(7, "any", "plain"))),
        ("vm b 5 merge_any", steps.Vm(2, "b", 5, steps.Options(merge="merge_any"))),
        ("exec a", steps.Exec(2, "a", False)),
        ("exec a mergeable", steps.Exec(2, "a", True)),
        ("prctl a 1", steps.Prctl(2, "a", True)),
        ("hugepage a 0..99", steps.Hugepage(2, "a", 0, 99)),
        ("nohugepage a 1", steps.Nohugepage(2, "a", 1, 1)),
        ("collapse a 0..99", steps.Collapse(2, "a", 0, 99)),
        ("pageout a 3", steps.Pageout(2, "a", 3, 3)),
        ("node a 1", steps.Node(2, "a", 1)),
        ("migrate a 0..3 1", steps.Migrate(2, "a", 0, 3, 1, False)),
        ("migrate a 3 0 all", steps.Migrate(2, "a", 3, 3, 0, True)),
        ("cgroup a", steps.Cgroup(2, "a")),
        ("reclaim 16M", steps.Reclaim(2, 16 << 20)),
        ("reclaim 4096", steps.Reclaim(2, 4096)),
        ("swapon", steps.Swapon(2)),
        ("swapon disk", steps.Swapon(2, "disk")),
        ("swapon zram", steps.Swapon(2, "zram")),
        ("swapoff", steps.Swapoff(2)),
        ("sys /proc/sys/vm/compact_memory 1", steps.Sys(2, "/proc/sys/vm/compact_memory", "1")),
        ("show /sys/kernel/mm/ksm/run", steps.Show(2, "/sys/kernel/mm/ksm/run")),
        ("wait 3000", steps.Wait(2, 3000)),
        ("drain", steps.Drain(2, None)),
        ("drain on", steps.Drain(2, True)),
        ("drain off", steps.Drain(2, False)),
        ("kinds", steps.Kinds(2)),
        ("nodes", steps.Nodes(2)),
        ("mem", steps.Mem(2)),
        ("status a", steps.Status(2, "a")),
    ],
)
def test_steps(text: str, step: steps.Step) -> None:
    script = parse_text(f"vm a 100\n{text}\n", HERE)
    assert script.steps == (steps.Vm(1, "a", 100), step)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frob a", "unknown step 'frob'; use one of vm, fork, exit, exec, fill, poke, read, discard, unmap, "),
        ("VM b 1", "unknown step 'VM'; use one of vm, "),
        ("vm b", "'vm' with 1 words after it; write: vm NAME PAGES"),
        ("counters a", "'counters' with 1 words after it; write: counters"),
        ("pass 1 2", "'pass' with 2 words after it; write: pass [N]"),
        (
            "vm b 5 huge anysize",
            "'anysize' is no further option; write: vm NAME PAGES [node=N] [huge|anysize]",
        ),
        ("vm b 5 node=8", "node 8 is out of range; give 0 to 7"),
        ("vm b 5 big", "'big' is no further option; write: vm NAME PAGES [node=N]"),
        ("exec a now", "'now' instead of 'mergeable'; write: exec NAME [mergeable]"),
        ("exec b", "no process 'b'; start it before with: vm b PAGES"),
        ("prctl a 2", "value 2 is out of range; give 0 to 1"),
        ("migrate a 0..3 1 every", "'every' instead of 'all'; write: migrate NAME RANGE N [all]"),
        ("reclaim much", "size 'much'"),
        ("sys /etc/passwd x", "file '/etc/passwd'; name one below /sys/kernel/mm/ or /proc/sys/vm/"),
        ("show /sys/kernel/mm/../../x", "file '/sys/kernel/mm/../../x'; name one below"),
        ("wait 3600001", "number of milliseconds 3600001 is out of range; give 0 to 3600000"),
        ("drain up", "'up' instead of on or off; write: drain [on|off]"),
        ("swapon tape", "'tape' instead of disk or zram; write: swapon [disk|zram]"),
        ("status b", "no process 'b'; start it before with: vm b PAGES"),
        ("vm b 0", "number of pages 0 is out of range; give 1 to 34359738368"),
        ("vm b 0x800000001", "number of pages 0x800000001 is out of range; give 1 to 34359738368"),
        ("vm b -4", "number of pages '-4' is no number; write it in decimal or as 0x-hexadecimal"),
        ("vm b 4k", "number of pages '4k' is no number; write it in decimal or as 0x-hexadecimal"),
        ("vm b 1_0", "number of pages '1_0' is no number; write it in decimal or as 0x-hexadecimal"),
        ("vm b ٣", "number of pages '٣' is no number; write it in decimal or as 0x-hexadecimal"),
        ("scan " + "9" * 5000, "is no number; write it in decimal or as 0x-hexadecimal"),
        ("scan 4294967296", "number of pages 4294967296 is out of range; give 0 to 4294967295"),
        ("vm a 4", "name 'a' is used twice; give each process a name of its own"),
        ("vm gone 4", "name 'gone' is used twice; give each process a name of its own"),
        ("fork a a", "name 'a' is used twice; give each process a name of its own"),
        ("fork b c", "no process 'b'; start it before with: vm b PAGES"),
        ("exit gone", "process 'gone' has exited in line 3; name a living process"),
        ("read gone 0", "process 'gone' has exited in line 3; name a living process"),
        ("read a 8", "page 8 is out of range; give 0 to 7"),
        ("read a 0..8", "page 8 is out of range; give 0 to 7"),
        ("read child 8", "page 8 is out of range; give 0 to 7"),
        ("read a 3..2", "range 3..2 is empty; write the lower page first: 2..3"),
        ("read a 1-2", "page '1-2' is no number; write it in decimal or as 0x-hexadecimal"),
        ("read a ..2", "page '' is no number; write it in decimal or as 0x-hexadecimal"),
        ("read a 1...2", "page '.2' is no number; write it in decimal or as 0x-hexadecimal"),
        ("read a 0..7", "page 4 of 'a' is unmapped since line 5; leave it out"),
        ("poke a 5 0 0", "page 5 of 'a' is unmapped since line 5; leave it out"),
        ("unmap a 5", "page 5 of 'a' is unmapped since line 5; leave it out"),
        ("discard child 3..4", "page 4 of 'child' is unmapped since line 5; leave it out"),
        ("poke a 0..1 0 0", "page '0..1' is no number; write it in decimal or as 0x-hexadecimal"),
        ("poke a 0 4096 0", "offset 4096 is out of range; give 0 to 4095"),
        ("poke a 0 0 256", "byte 256 is out of range; give 0 to 255"),
        ("fill a 0", "'fill' with 2 words after it; write: fill NAME RANGE CONTENT"),
        ("fill a 0 ones", "no content 'ones'; use zero, key K[+], seed S[+] or file PATH [PAGE]"),
        ("fill a 0 zero 1", "no content 'zero 1'; use zero, key K[+], seed S[+] or file PATH [PAGE]"),
        ("fill a 0 seed", "no content 'seed'; use zero, key K[+], seed S[+] or file PATH [PAGE]"),
        ("fill a 0 seed +7", "number '+7' is no number; write it in decimal or as 0x-hexadecimal"),
        ("fill a 0 key 0x1ffffffffffffffff", "number 0x1ffffffffffffffff is out of range; give 0 to 1844"),
        ("fill a 0..1 key 0xffffffffffffffff+", "key 0xffffffffffffffff+ does not fit in 8 bytes on page 1"),
        ("set speed 1", "unknown knob 'speed'; use one of run, pages_to_scan, "),
        ("set run", "'set' with 1 words after it; write: set KNOB VALUE"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    before = "vm a 8\nvm gone 8\nexit gone\n\nunmap a 4..5\nfork a child\n"
    with pytest.raises(ScriptError) as caught:
        parse_text(before + text, HERE, "x.ksm")
    said = str(caught.value)
    assert said.startswith("x.ksm:7: ")
    assert message in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("none.bin", "none.bin: cannot be opened: No such file or directory; give a readable file"),
        ("folder", "folder: is a folder; name a file in it; give a readable file"),
        ("empty.bin", "empty.bin has 0 pages, page 0 is wanted; shorten the range"),
        ("three.bin 3", "three.bin has 3 pages, page 3 is wanted; shorten the range"),
        ("three.bin 1+", "file page '1+' is no number; "),
        ("three.bin 1 2", "'fill' with 6 words after it; "),
    ],
)
def test_files_that_cannot_be_a_content(tmp_path: Path, words: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.bin").touch()
    (tmp_path / "three.bin").write_bytes(bytes(8193))
    with pytest.raises(ScriptError) as caught:
        parse_text(f"vm a 8\nfill a 0 file {words}", tmp_path)
    assert str(caught.value).startswith("<script>:2: ")
    assert message in str(caught.value)


def test_a_range_past_the_end_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "three.bin").write_bytes(bytes(8193))
    assert parse_text("vm a 8\nfill a 0..2 file three.bin", tmp_path).steps[1] == steps.Fill(
        2, "a", 0, 2, FilePages(tmp_path / "three.bin", 0)
    )
    with pytest.raises(ScriptError, match="has 3 pages, page 3 is wanted"):
        parse_text("vm a 8\nfill a 0..2 file three.bin 1", tmp_path)


def test_files_are_found_from_the_scripts_folder(tmp_path: Path) -> None:
    (tmp_path / "pages.bin").write_bytes(bytes(4096))
    script = tmp_path / "s.ksm"
    script.write_text("vm a 1\nfill a 0 file pages.bin\n")
    assert parse(script).steps[1] == steps.Fill(2, "a", 0, 0, FilePages(tmp_path / "pages.bin"))


def test_scripts_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"none\.ksm: cannot be opened: No such file or dir.*; give a KSM script's"):
        parse(tmp_path / "none.ksm")
    with pytest.raises(
        ScriptError, match="is a folder; name a file in it; give a KSM script's file, or - for standard input"
    ):
        parse(tmp_path)
    (tmp_path / "binary.ksm").write_bytes(b"vm a 1\n\xff\xfe")
    with pytest.raises(ScriptError, match=r"not text \(byte 7 is no UTF-8\)"):
        parse(tmp_path / "binary.ksm")


def test_a_byte_order_mark_is_skipped_and_lines_end_as_on_any_system(tmp_path: Path) -> None:
    script = tmp_path / "s.ksm"
    script.write_bytes(b"\xef\xbb\xbfvm a 4\r\nread a 0\rread a 1\n")
    assert parse(script).steps == (steps.Vm(1, "a", 4), steps.Read(2, "a", 0, 0), steps.Read(3, "a", 1, 1))
    script.write_text("vm a 4\n", encoding="utf-16")
    with pytest.raises(ScriptError, match=r"not text \(byte 0 is no UTF-8\); save it as UTF-8"):
        parse(script)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ScriptError, match="pipe: is a pipe and no file"):
        parse(tmp_path / "pipe")
    with pytest.raises(ScriptError, match="pipe: is a pipe and no file"):
        parse_text("vm a 1\nfill a 0 file pipe", tmp_path)


def test_a_script_longer_than_any_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MOST_BYTES", 1 << 20)
    (tmp_path / "long.ksm").write_bytes(b"#" * (1 << 20))
    assert parse(tmp_path / "long.ksm").steps == ()
    (tmp_path / "long.ksm").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ScriptError, match="longer than 1 MiB; split it"):
        parse(tmp_path / "long.ksm")


@pytest.mark.parametrize(
    "text", ["{}", "vm {} 0", "read {} 0", "vm a {}", "fill a 0 {}", "fill a 0 file {}", "set {} 1", "fill a 0 seed {}"]
)
def test_no_error_repeats_more_than_a_line_holds(text: str) -> None:
    with pytest.raises(ScriptError) as refused:
        parse_text("vm a 1\n" + text.format("9" * 5000), HERE)
    assert len(str(refused.value)) < 1000


def test_holes_of_any_number_and_order_are_found() -> None:
    holes = [9, 3, 7, 1, 5]
    before = "vm a 11\n" + "".join(f"unmap a {page}\n" for page in holes)
    for page in range(11):
        if page in holes:
            with pytest.raises(
                ScriptError, match=f"page {page} of 'a' is unmapped since line {holes.index(page) + 2};"
            ):
                parse_text(f"{before}read a {page}", HERE)
        else:
            assert parse_text(f"{before}read a {page}", HERE).steps[-1] == steps.Read(7, "a", page, page)
    with pytest.raises(ScriptError, match="is unmapped since"):
        parse_text(f"{before}read a 2..4", HERE)


def test_lines_and_lives_are_known() -> None:
    script = parse_text("vm a 1\nfork a b  # two\nexit a\nvm c 1\nfork b d", HERE)
    assert [script.line(number) for number in (1, 2, 5, 6)] == ["vm a 1", "fork a b  # two", "fork b d", ""]
    assert script.most_alive() == 3
    assert parse_text("# \u2028 \x0c\nvm a 1", HERE).line(2) == "vm a 1"


def test_sizes_count_forks_and_the_dead() -> None:
    script = parse_text("vm a 8\nfork a b\nunmap b 0..7\nfork b c\nexit a\nvm d 1", HERE)
    assert script.pages() == 25
    assert script.mms() == 4


def test_an_empty_script_has_no_steps() -> None:
    script = parse_text("\n# nothing\n\r\n", HERE)
    assert (script.steps, script.pages(), script.mms()) == ((), 0, 0)


def test_every_tunable_can_be_set() -> None:
    for knob in TUNABLES:
        assert parse_text(f"set {knob} 1", HERE).steps == (steps.Set(1, knob, "1"),)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.ksm")), ids=lambda path: path.stem)
def test_golden_scripts_print_where_the_kernel_did(path: Path) -> None:
    printing = (steps.Counters, steps.Sharing, steps.Digest)
    lines = [step.line for step in parse(path).steps if isinstance(step, printing)]
    recorded = path.with_suffix(".jsonl").read_text().splitlines()
    assert lines == [int(line.split(":")[1].split(",")[0]) for line in recorded if '"error"' not in line]


def test_a_new_program_has_a_mapping_without_holes() -> None:
    script = parse_text("vm a 8\nunmap a 2..3\nexec a\nread a 0..7\n", HERE)
    assert script.steps[-1] == steps.Read(4, "a", 0, 7)


def test_options_as_they_are_written() -> None:
    for text in ("", "huge", "node=1 anysize plain", "merge_any"):
        (step,) = parse_text(f"vm a 8 {text}\n", HERE).steps
        assert isinstance(step, steps.Vm)
        assert step.options.text() == text
