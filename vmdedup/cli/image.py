"""vmdedup image list | build | path | verify | remove."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmdedup.cli.say import say, say_document
from vmdedup.signals import interrupted_status

if TYPE_CHECKING:
    from vmdedup.image.recipe import Recipe
    from vmdedup.image.site import Site
    from vmdedup.image.store import Image

app = typer.Typer(
    help="Images of real guests: build them from Debian packages, check and remove them.\n\n"
    'Also the disks of emulated guests: disk = { image = "debian" }.\n\n\b\n'
    "  vmdedup image list\n"
    "  vmdedup image build tiny\n"
    "  vmdedup image verify tiny",
    no_args_is_help=True,
    rich_markup_mode=None,
)

SCHEMA_VERSION = 1
_NAME = Annotated[str, typer.Argument(metavar="NAME", help="A name from the list.")]
_NAMES = Annotated[list[str], typer.Argument(metavar="NAME…", help="Names from the list.")]
_JSON = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")]


@app.command("list")
def list_images(as_json: _JSON = False) -> None:
    """The images there are, and which of them are built.

    \b
      vmdedup image list
      vmdedup image list --json
    """
    from vmdedup.image.recipe import load_recipe, recipe_names
    from vmdedup.image.site import Site
    from vmdedup.image.store import find

    rows: list[dict[str, str | None]] = []
    for name in recipe_names():
        recipe, image = load_recipe(name), find(name, Site.of_user())
        state = "not built" if image is None else "built" if image.digest == recipe.digest else "out of date"
        directory = str(image.directory) if image else None
        rows.append({"name": name, "description": recipe.description, "state": state, "directory": directory})
    if as_json:
        return _document("images", rows)
    for row in rows:
        say(f"{row['name']:10} {row['state']:12} {row['description']}")
    return None


@app.command("build")
def build(
    names: _NAMES,
    force: Annotated[bool, typer.Option("--force", help="Build even what is up to date.")] = False,
    as_json: _JSON = False,
) -> int:
    """Build images that are not up to date with their recipes.

    Ctrl-C keeps what is built by then, and the packages that were downloaded.

    \b
      vmdedup image build tiny debian
      sudo vmdedup image build debian --force
    """
    from vmdedup.image.recipe import load_recipe
    from vmdedup.image.site import Site

    recipes, site = [load_recipe(name) for name in names], Site.of_user()
    rows: list[dict[str, Any]] = []
    status = 0
    try:
        for recipe in recipes:
            row = _build(recipe, site, force)
            rows.append(row)
            if not as_json:
                say(f"{recipe.name}: {'built' if row['built'] else 'up to date'}: {row['directory']}")
    except KeyboardInterrupt:
        status = interrupted_status()
        undone = ", ".join(recipe.name for recipe in recipes[len(rows) :])
        say(
            f"vmdedup: interrupted; not done: {undone}, as it was before; what was downloaded is kept in "
            f"{site.packages}",
            err=True,
        )
    if as_json:
        _document("images", rows)
    return status


def _build(recipe: Recipe, site: Site, force: bool) -> dict[str, Any]:
    """Build an image if need be. Returns what is said of it."""
    from vmdedup.image.store import find, make

    image = find(recipe.name, site)
    fresh = image is None or image.digest != recipe.digest or force
    if fresh:
        with _progress(recipe.name) as note:
            image = make(recipe, site, force, note)
    assert image is not None
    return _about(image) | {"built": fresh}


@app.command("path")
def path(name: _NAME, as_json: _JSON = False) -> None:
    """Print the directory of a built image.

    It holds kernel, initrd, ssh_key, tree, root.raw if it has a disk, and image.json, which explains.

    \b
      vmdedup image path tiny
      ssh -i $(vmdedup image path debian)/ssh_key -p 2222 root@127.0.0.1
    """
    image = _built(name)
    if as_json:
        return _document("image", _about(image))
    return say(image.directory)


@app.command("verify")
def verify(name: _NAME, as_json: _JSON = False) -> int:
    """Compare a built image with its checksums.

    Exit status 1 if a file is missing or differs.

    \b
      vmdedup image verify debian
    """
    from vmdedup.errors import VmdedupError
    from vmdedup.image.store import verify as differing

    image = _built(name)
    wrong = differing(image)
    if as_json:
        _document("image", _about(image) | {"wrong": wrong})
        return 1 if wrong else 0
    if wrong:
        remedy = f"run: vmdedup image build {name} --force"
        raise VmdedupError(f"image {name!r}: {', '.join(wrong)} not as built; {remedy}")
    say(f"{name}: as built")
    return 0


@app.command("remove")
def remove(names: _NAMES, as_json: _JSON = False) -> None:
    """Remove built images. Their recipes and the downloaded packages stay.

    \b
      vmdedup image remove tiny debian
    """
    from vmdedup.image.recipe import load_recipe
    from vmdedup.image.site import Site
    from vmdedup.image.store import remove as remove_image

    rows: list[dict[str, Any]] = []
    for recipe in [load_recipe(name) for name in names]:
        rows.append({"name": recipe.name, "removed": remove_image(recipe.name, Site.of_user())})
        if not as_json:
            say(f"{recipe.name}: {'removed' if rows[-1]['removed'] else 'was not built'}")
    if as_json:
        _document("images", rows)


def _built(name: str) -> Image:
    from vmdedup.image.store import built

    return built(name)


def _about(image: Image) -> dict[str, Any]:
    """An image as JSON has it."""
    from dataclasses import asdict

    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(image).items()}


def _document(key: str, value: object) -> None:
    say_document({"schema_version": SCHEMA_VERSION, key: value})


@contextmanager
def _progress(name: str) -> Iterator[Callable[[str], None]]:
    """What is being done, on a terminal."""
    from vmdedup.report.console import console

    screen = console(no_color=False)
    if not screen.is_terminal:
        yield lambda text: None
        return
    with screen.status(f"{name}: …") as status:
        yield lambda text: status.update(f"{name}: {text}")
