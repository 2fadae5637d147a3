"""A story as a page with a slider: one file, no network. Without scripts it is a list of all steps in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from vmdedup.page.document import asset, escaped, page

_BODY = """<header>
<h1>{title}</h1>
<p>{introduction}</p>
</header>
<noscript><p>Trees and memory are drawn by a script; without it, all steps are listed below.</p></noscript>
<main id="stage" hidden>
<div class="controls" role="group" aria-label="Steps">
<button id="first" title="Home">First</button>
<button id="back" title="left arrow">Back</button>
<button id="next" title="right arrow">Next</button>
<button id="line" title="space: the script's next line">Next line</button>
<button id="last" title="End">Last</button>
<input id="slider" type="range" min="0" value="0" aria-label="Step">
<output id="count" for="slider"></output>
</div>
<p id="note" class="note"></p>
<p id="says" class="says" aria-live="polite"></p>
<div class="rooms">
<section class="script"><h2>Script</h2><ol id="lines" class="mono"></ol></section>
<section class="middle">
<h2>What ksmd did</h2><ul id="events"></ul>
<h2>Stable tree <small class="soft">merged pages, write-protected</small></h2><div class="scroll" id="stable"></div>
<h2>Unstable tree <small class="soft">pages that wait for their like, and may change</small></h2>
<div class="scroll" id="unstable"></div>
<h2>Memory <small class="soft">a letter for each content; with a frame: merged</small></h2><div id="memory"></div>
</section>
<section class="side"><h2>Counters</h2><table id="counters"></table>
<h2>Contents</h2><table id="contents"></table><h2>Printed</h2><pre id="printed"></pre></section>
</div>
<p class="note">{closing}</p>
</main>
<details id="all"{opened}><summary>All steps, in words</summary><ol id="steps">
{steps}
</ol></details>
<footer class="soft"><p>{command}</p></footer>
"""


def explained(story: Mapping[str, Any], command: str) -> str:
    """A document of explain.document as an HTML page. command: what made it."""
    title = story["title"] or f"What ksmd does in {PurePath(story['script']).name}"
    steps = "\n".join(f"<li>{_words(step)}</li>" for step in story["steps"])
    body = _BODY.format(
        title=escaped(title),
        introduction=escaped(story["introduction"]),
        closing=escaped(story["closing"]),
        opened="",
        steps=steps,
        command=f"Linux {escaped(story['kernel'])}, emulated. Made by <code>{escaped(command)}</code>",
    )
    style, script = asset("vmdedup.explained", "page.css"), asset("vmdedup.explained", "page.js")
    return page(title, body, style, script, {**story, "steps": list(map(_rest, story["steps"]))})


def _words(step: Mapping[str, Any]) -> str:
    """A step in words; the script takes its sentence from here."""
    note = f"<em>{escaped(step['note'])}</em> " if "note" in step else ""
    said = "".join(f"<br><span>{escaped(event[1])}</span>" for event in step.get("events", ()))
    return f"{note}<b>{escaped(step['says'])}</b>{said}"


def _rest(step: Mapping[str, Any]) -> dict[str, Any]:
    """What the script needs of a step beside its words: of events, where in the trees they were."""
    rest = {name: value for name, value in step.items() if name not in ("says", "note", "events")}
    if "events" in step:
        rest["events"] = [[what, tree, node] for what, _, tree, node in step["events"]]
    return rest
