"""Why ksmd merges nothing, or little: its tunables, what it can look at, what its counters say of the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from vmdedup.doctor.finding import Finding, Status, good, lack, note
from vmdedup.doctor.scene import KSM, Scene
from vmdedup.units import PAGE_SIZE, SECOND_NS, format_duration, format_size

SLOW_SCAN: Final = 3600.0  # seconds a full scan; no guest's content waits that long
LONG_SLEEP: Final = 10_000  # ms
MUCH: Final = 0.5  # share of all pages, or of all looks
WASTE: Final = 5  # unshared pages to a shared one: the kernel's documentation calls that wasted effort

Checks = Iterator[Finding]


def check_merging(scene: Scene) -> Checks:
    """Findings of the group merging."""
    if scene.ksm is None:
        return
    checks: tuple[Callable[[Scene], Checks], ...] = (
        *(_mergeable, _unseen, _run, _pages_to_scan, _sleep, _speed, _advisor, _merged, _splits),
        *(_scans, _unshared, _volatile, _zero_pages, _sharing_limit, _smart_scan, _nodes, _profit),
    )
    for check in checks:
        for finding in check(scene):
            yield _borrowed(finding, scene.holder) if scene.holder else finding


def _borrowed(finding: Finding, holder: int) -> Finding:
    """The finding while another vmdedup drives KSM: its tunables are meant so, and not to be touched."""
    if finding.status is not Status.WARNING:
        return finding
    return note(finding.name, f"{finding.text}, as process {holder} wants it now")


def pages_known(scene: Scene) -> int:
    """Pages that ksmd has met."""
    return sum(scene.number(f"pages_{kind}") for kind in ("shared", "sharing", "unshared", "volatile"))


def mergeable_pages(scene: Scene) -> int:
    """Pages that ksmd has to go through: those in mergeable mappings now, or those it has met if they are more."""
    vmas = [vma for each in scene.maps.values() for vma in each if vma.is_mergeable]
    return max(pages_known(scene), sum(vma.resident for vma in vmas) * 1024 // PAGE_SIZE)


def _mergeable(scene: Scene) -> Checks:
    count = len(scene.mergeable)
    if count:
        size = format_size(mergeable_pages(scene) * PAGE_SIZE)
        yield good("merging.mergeable", f"{count} process{'es have' if count > 1 else ' has'} mergeable memory: {size}")
        return
    whose = "no process that we may look at" if hidden(scene) else "no process"
    text = f"{whose} has mergeable memory: none asked for it (madvise MADV_MERGEABLE, prctl PR_SET_MEMORY_MERGE)"
    remedy = "start QEMU guests (theirs is, unless mem-merge=off), or services with MemoryKSM=yes (systemd 254)"
    yield note("merging.mergeable", text, remedy)


def hidden(scene: Scene) -> int:
    """How many processes' memory may not be looked at. To root none is hidden; an old kernel just does not tell."""
    if scene.machine.is_root:
        return 0
    return sum(process.ksm is None and bool(process.arguments) for process in scene.processes)


def _unseen(scene: Scene) -> Checks:
    if hidden(scene):
        text = f"processes of others that may not be looked at: {hidden(scene)}"
        yield note("merging.unseen", text, "run vmdedup doctor with sudo")
    if scene.unread:
        pids = " ".join(map(str, scene.unread[:8]))
        text = f"memory maps of {len(scene.unread)} large processes were left out to be quick: {pids}"
        yield note("merging.unread", text, f"vmdedup doctor --pid {scene.unread[0]}")


def _run(scene: Scene) -> Checks:
    run = scene.number("run")
    if run == 1:
        yield good("merging.run", "ksmd is on (run is 1)")
        return
    text = "ksmd is off (run is 0): what is merged stays so, nothing more is"
    if run == 2:
        text = "ksmd is off and everything was unmerged (run is 2)"
    remedy = f"echo 1 > {KSM}/run"
    yield lack("merging.run", text, remedy, "merging") if scene.mergeable else note("merging.run", text, remedy)


def _pages_to_scan(scene: Scene) -> Checks:
    if scene.number("pages_to_scan") == 0:
        text = "ksmd wakes up but scans nothing: pages_to_scan is 0"
        yield lack("merging.pages_to_scan", text, f"echo 1000 > {KSM}/pages_to_scan", "merging")
    else:
        yield good("merging.pages_to_scan", f"ksmd scans {scene.number('pages_to_scan'):,} pages at a time")


def _sleep(scene: Scene) -> Checks:
    sleep = scene.number("sleep_millisecs")
    if sleep > LONG_SLEEP:
        text = f"ksmd sleeps {format_duration(sleep * 10**6)} between two batches"
        yield lack("merging.sleep", text, f"echo 20 > {KSM}/sleep_millisecs", "merging")
    else:
        yield good("merging.sleep", f"ksmd sleeps {sleep} ms between two batches")


def scan_seconds(scene: Scene) -> float:
    """Seconds that ksmd sleeps in one full scan of all mergeable pages: what it takes at least."""
    batch = scene.number("pages_to_scan")
    return mergeable_pages(scene) / batch * scene.number("sleep_millisecs") / 1000 if batch else 0.0


def _speed(scene: Scene) -> Checks:
    seconds = scan_seconds(scene)
    if not seconds:
        return
    text = (
        f"a full scan of {mergeable_pages(scene):,} pages takes at least {format_duration(round(seconds * SECOND_NS))}"
    )
    if seconds > SLOW_SCAN:
        wanted = max(1000, round(scene.number("pages_to_scan") * seconds / 600))
        yield lack("merging.speed", text, f"echo {wanted} > {KSM}/pages_to_scan", "merging")
    else:
        yield good("merging.speed", text)


def _advisor(scene: Scene) -> Checks:
    if "[scan-time]" in (scene.ksm or {}).get("advisor_mode", ""):
        target = scene.number("advisor_target_scan_time")
        text = (
            f"the kernel's advisor sets pages_to_scan, for a full scan in {target} s; what you write there is refused"
        )
        yield note("merging.advisor", text, f"echo none > {KSM}/advisor_mode")


def _merged(scene: Scene) -> Checks:
    sharing, zero = scene.number("pages_sharing"), scene.number("ksm_zero_pages")
    if sharing + zero:
        shared = scene.number("pages_shared")
        saved = format_size((sharing + zero) * PAGE_SIZE)
        yield good("merging.merged", f"{saved} saved now: {sharing:,} pages share {shared:,}, {zero:,} zero pages")
    else:
        yield note("merging.merged", "nothing is merged now")


def _splits(scene: Scene) -> Checks:
    """What KSM has freed beside what its counters say, as far as it can be seen afterwards."""
    counted = scene.number("pages_sharing") + scene.number("ksm_zero_pages")
    pages, mergeable = sum(scene.uncounted.values()), {process.pid for process in scene.mergeable}
    if pages:
        text = (
            f"up to {format_size(pages * PAGE_SIZE)} more freed, {format_size((counted + pages) * PAGE_SIZE)} in all: "
            f"{pages:,} pages map the zero page though no counter says so; they are zeros of huge pages that ksmd "
            "split, or memory that was only read, which cannot be told apart afterwards"
        )
        yield note("merging.splits", text, "vmdedup live run counts them from the start: split_zero_mib")
    elif counted and mergeable - scene.uncounted.keys() and _has_huge_pages(scene):
        text = "zeros of huge pages that ksmd split are free too, and no counter of the kernel's says how many"
        remedy = "" if scene.machine.is_root else "run vmdedup doctor with sudo, which looks at the pages themselves"
        yield note("merging.splits", text, remedy)


def _has_huge_pages(scene: Scene) -> bool:
    """Whether there may have been huge pages to be split: the kernel makes some, for who asks at least."""
    enabled = scene.machine.text("/sys/kernel/mm/transparent_hugepage/enabled") or ""
    return "[always]" in enabled or "[madvise]" in enabled


def _scans(scene: Scene) -> Checks:
    scans = scene.number("full_scans")
    if scene.mergeable and scene.number("run") == 1 and scans < 2:
        text = f"ksmd has done {scans} full scan{'' if scans == 1 else 's'}: pages merge in the second at the earliest"
        yield note("merging.scans", text, f"wait; or faster: echo 5000 > {KSM}/pages_to_scan")


def _unshared(scene: Scene) -> Checks:
    unshared, sharing = scene.number("pages_unshared"), scene.number("pages_sharing")
    if scene.number("full_scans") < 2 or unshared <= WASTE * sharing:
        return
    text = f"most pages have a content that no other has: {unshared:,} unshared, {sharing:,} sharing"
    yield note("merging.unshared", text, "see what could be shared: vmdedup scan DUMP…")


def _volatile(scene: Scene) -> Checks:
    volatile, known = scene.number("pages_volatile"), pages_known(scene)
    if scene.number("full_scans") >= 2 and volatile > MUCH * known:
        text = f"most pages change between two looks of ksmd: {volatile:,} of {known:,} are volatile"
        yield note("merging.volatile", text, "busy guests share little; look again when they are idle")


def _zero_pages(scene: Scene) -> Checks:
    if scene.number("use_zero_pages"):
        zero = scene.number("ksm_zero_pages")
        text = f"zero pages are counted in ksm_zero_pages ({zero:,}), not in pages_sharing (use_zero_pages is 1)"
        yield note("merging.zero_pages", text)


def _sharing_limit(scene: Scene) -> Checks:
    chains, copies = scene.number("stable_node_chains"), scene.number("stable_node_dups")
    if chains:
        limit = scene.number("max_page_sharing")
        text = f"contents with more sharers than max_page_sharing ({limit}): {chains:,}, kept {copies:,} times in all"
        yield note("merging.max_page_sharing", text, f"raise {KSM}/max_page_sharing while nothing is merged (run 2)")


def _smart_scan(scene: Scene) -> Checks:
    skipped, scanned = scene.number("pages_skipped"), scene.number("pages_scanned")
    if scene.number("smart_scan") and skipped > MUCH * (skipped + scanned):
        share = 100 * skipped / (skipped + scanned)
        text = f"smart scan leaves out {share:.0f} % of all looks; pages that become alike are found later for it"
        yield note("merging.smart_scan", text, f"echo 0 > {KSM}/smart_scan")


def _nodes(scene: Scene) -> Checks:
    nodes = len(list(scene.machine.path("/sys/devices/system/node").glob("node[0-9]*")))
    if nodes > 1 and (scene.ksm or {}).get("merge_across_nodes") == "0":
        text = f"pages of different NUMA nodes are not merged (merge_across_nodes is 0, {nodes} nodes)"
        yield note("merging.nodes", text, f"echo 2 > {KSM}/run; echo 1 > {KSM}/merge_across_nodes; echo 1 > {KSM}/run")


def _profit(scene: Scene) -> Checks:
    profit = scene.number("general_profit")
    if profit < 0:
        text = f"KSM takes more than it gives: its records cost {format_size(-profit)} more than is saved"
        yield lack(
            "merging.profit", text, f"wait if it has just begun; else give it back: echo 2 > {KSM}/run", "merging"
        )
    elif profit:
        yield good("merging.profit", f"the profit is {format_size(profit)}, KSM's own records paid")
