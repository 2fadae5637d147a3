"""Models: from dumps to a file, from the file to guests; and what is in a file, and what is not."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kit.kinds import KnownKind
from kit.memory_dumps import page, write_recording
from kit.small_runs import run, write
from vmdedup.cli import run_command
from vmdedup.errors import ScenarioError, UsageError
from vmdedup.guest.modelled import ModelledLife
from vmdedup.guest.spec import ImageSpec
from vmdedup.learn.boot import Boot, Contents
from vmdedup.learn.file import ModelFile
from vmdedup.learn.forecast import different
from vmdedup.learn.model import learn
from vmdedup.scenario.load import load_scenario
from vmdedup.scenario.plan import plan

KIND = KnownKind()
Pages = NDArray[np.uint8]


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two boots."""
    folder = tmp_path_factory.mktemp("learnt")
    assert run_command(["learn", *KIND.write(folder, 1, 2), "-o", str(folder / "web.guest"), "-q"]) == 0
    return folder / "web.guest"


def memory(model: Path, guest: int, step: int = 0) -> Pages:
    """All pages of a guest made from a model, after a step."""
    with closing(ModelledLife(ImageSpec(str(model), guest=guest, model=True), seed=1000 + guest)) as life:
        pages = np.full((life.pages, 4096), 7, np.uint8)
        for each in range(step + 1):
            for places, contents in life.changes(each):
                pages[places] = np.uint8(7) if contents is None else contents
        return pages


def distinct(*memories: Pages) -> int:
    return len({row.tobytes() for each in memories for row in each if row.any()})


def test_guests_share_as_much_as_is_foretold(learnt: Path) -> None:
    memories = [memory(learnt, guest) for guest in range(8)]
    with ModelFile(learnt) as file:
        kind = file.model.kind
    assert distinct(memories[0]) == KIND.common + KIND.own + KIND.drawn + 1
    for guests in (2, 4, 8):
        likely, least, most = different(kind, guests)
        assert distinct(*memories[:guests]) == pytest.approx(likely, rel=0.05)
        assert least < likely < most or guests == 2


def test_guests_are_laid_out_as_boots_are(learnt: Path) -> None:
    for guest in (0, 1, 2):
        pages, boot = memory(learnt, guest), KIND.boot(1 + guest % 2)
        assert (pages.any(axis=1) == boot.any(axis=1)).all()
        repeated = slice(KIND.common, KIND.common + KIND.repeated)
        assert distinct(pages[repeated]) == 1
    one, two = memory(learnt, 0), memory(learnt, 2)
    same = (one[: KIND.common] == two[: KIND.common]).all(axis=1)
    assert same.mean() > 0.8  # what two boots both have may still be in some only
    assert (memory(learnt, 0) == one).all()


def test_contents_are_made_up(learnt: Path) -> None:
    real = {row.tobytes() for number in (1, 2) for row in KIND.boot(number) if row.any()}
    assert not real & {row.tobytes() for row in memory(learnt, 0)}
    text = learnt.read_bytes()
    with ModelFile(learnt) as file:
        assert not file.has_contents
        sizes = {name: getattr(file.model, name).nbytes for name in ("slots", "variants", "levels", "like")}
        assert sum(sizes.values()) < 16 * len(file.model.slots)
        of_text = file.model.levels[np.unique(file.model.layouts[0][: KIND.common])]
    assert str(learnt.parent).encode() not in text
    assert 4 < of_text.mean() <= 8  # half a page of letters


def test_with_contents(tmp_path: Path) -> None:
    path = tmp_path / "with.guest"
    dumps = KIND.write(tmp_path, 1, 2)
    assert run_command(["learn", *dumps, "-o", str(path), "-q", "--with-contents"]) == 0
    pages, boot = memory(path, 0), KIND.boot(1)
    common = KIND.common + KIND.repeated
    other = (pages != boot).sum(axis=1)
    assert other.max() == 8
    assert np.count_nonzero(other[:common]) < 0.2 * common
    assert np.count_nonzero(other[common:]) >= KIND.own
    assert distinct(memory(path, 0), memory(path, 1)) == pytest.approx(distinct(boot, KIND.boot(2)), rel=0.05)


def test_a_scenario_of_guests_from_a_model(learnt: Path) -> None:
    text = 'duration = "2s"\n[ksm]\nrun = 1\npages_to_scan = 4000\nsleep_millisecs = 20\n[host]\nhuge_pages = "never"\n'
    text += f'[[guests]]\nmodel = "{learnt.name}"\ncount = 3\n'
    saved = run(learnt.parent, text).summary["saved_mib"] * 256
    memories = [memory_of(learnt.parent / "small.toml", guest) for guest in range(3)]
    expected = 3 * KIND.pages - distinct(*memories)
    assert saved == pytest.approx(expected - 1, abs=1)  # zeros are one frame


def memory_of(scenario: Path, guest: int) -> Pages:
    """As memory, by the guest's own seed in a scenario."""
    spec = plan(load_scenario(scenario)).specs[guest]
    assert spec.image is not None
    with closing(ModelledLife(spec.image, spec.seed)) as life:
        pages = np.zeros((life.pages, 4096), np.uint8)
        for places, contents in life.changes(0):
            assert contents is not None
            pages[places] = contents
        return pages


def test_one_boot_does_not_say_what_two_share(tmp_path: Path) -> None:
    assert run_command(["learn", *KIND.write(tmp_path, 1), "-o", str(tmp_path / "one.guest"), "-q"]) == 0
    text = 'duration = "4s"\n[[guests]]\nmodel = "one.guest"\ncount = {}\n'
    with pytest.raises(ScenarioError, match=r"guests\[0\]\.model: .*learnt from one boot.*or give count = 1"):
        load_scenario(write(tmp_path, text.format(2)))
    assert load_scenario(write(tmp_path, text.format(1))).pages == KIND.pages
    with pytest.raises(ScenarioError, match="its image or its model, not from both"):
        load_scenario(write(tmp_path, text.format(1) + 'image = "x"\n'))


# Changes


@pytest.fixture
def living(tmp_path: Path) -> Path:
    """A model of two guests of 64 pages that were recorded for 41 steps of half a second.

    Pages 0 to 7 get new contents at every second step, 8 to 11 turn to zeros and back, 12 goes and comes again.
    """
    lives = {}
    for guest in (1, 2):
        steps = []
        for step in range(41):
            pages = {number: page(100 + number) for number in range(64)}
            pages |= {number: page(1000 * guest + 10 * (step // 2) + number) for number in range(8)}
            pages |= {number: page(0 if step % 2 else 100 + number) for number in range(8, 12)}
            if step % 2:
                del pages[12]
            steps.append(pages)
        lives[f"g{guest}"] = steps
    write_recording(tmp_path / "life.rec", lives, 64, 500_000_000)
    assert run_command(["learn", str(tmp_path / "life.rec"), "-o", str(tmp_path / "live.guest"), "-q"]) == 0
    return tmp_path / "live.guest"


def test_changes_are_as_learnt(living: Path) -> None:
    with ModelFile(living) as file:
        life = file.model.life
    assert life is not None
    assert life.interval_ns == 500_000_000
    assert set(np.flatnonzero(life.rates)) == set(range(13))
    assert (life.rates[:8] == 128).all()
    assert (life.rates[8:13] == 255).all()
    changes = 20 * 8 + 40 * 5
    assert life.to == pytest.approx([20 / changes, 80 / changes, 0, 260 / changes], abs=1e-9)
    with closing(ModelledLife(ImageSpec(str(living), guest=0, model=True), 5)) as made:
        assert made.times[:3] == range(0, 1_500_000_000, 500_000_000)
        counts = np.zeros(64, np.int64)
        for step in range(200):
            for places, _ in made.changes(step):
                counts[places] += step > 0
        assert (counts[13:] == 0).all()
        assert counts[:8].mean() == pytest.approx(100, rel=0.15)
        assert (counts[8:13] == 199).all()


def test_a_life_can_be_looked_at_in_any_order(living: Path) -> None:
    with closing(ModelledLife(ImageSpec(str(living), guest=1, model=True), 5)) as made:
        first, third = made.digest(0), made.digest(3)
        assert len({first, made.digest(1), made.digest(2), third}) == 4
        assert (made.digest(0), made.digest(3)) == (first, third)
        assert made.count(3) == int(made.present(3).sum()) <= 64


# What cannot be learnt, and files made to do harm


def test_boots_of_one_kind_are_of_one_size() -> None:
    contents = Contents(np.ones(2, np.uint8), np.ones(2, np.uint8), np.zeros(2, np.int32))
    boots = [Boot(str(size), "raw", np.ones(size, np.int32)) for size in (3, 4)]
    with pytest.raises(UsageError, match="3 has 3, 4 has 4; learn them apart"):
        learn(boots, contents)
    with pytest.raises(UsageError, match="257 boots are more than"):
        learn([boots[0]] * 257, contents)
    with pytest.raises(UsageError, match="nothing but zeros"):
        learn([Boot("0", "raw", np.zeros(4, np.int32))], contents)


def test_any_byte_may_be_another(learnt: Path, tmp_path: Path) -> None:
    """A file that is damaged anywhere is refused, or read as what it still can be; never anything else."""
    whole, rng, refused = learnt.read_bytes(), np.random.default_rng(3), 0
    for number in range(150):
        at = int(rng.integers(0, len(whole) if number % 2 else 1200))
        path = tmp_path / "bad.guest"
        path.write_bytes(whole[:at] + bytes([int(rng.integers(256))]) + whole[at + 1 :] if number % 5 else whole[:at])
        try:
            with ModelFile(path) as file, closing(ModelledLife(ImageSpec(str(path), guest=0, model=True), 1)) as life:
                assert life.pages == file.model.places
                list(life.changes(0))
        except UsageError:
            refused += 1
    assert refused > 75
