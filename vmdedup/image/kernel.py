"""The guest's kernel and the modules that it loads, in order."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError
from vmdedup.image.packages import PackageStore
from vmdedup.image.recipe import Kernel
from vmdedup.image.tools import run_tool


def unpack_kernel(recipe: Kernel, packages: PackageStore, directory: Path) -> Path:
    """Unpack the kernel's package below directory. Returns the kernel's file."""
    packages.unpack(packages.kernel_package(recipe.package), directory)
    kernels = sorted((directory / "boot").glob("vmlinuz-*"))
    if not kernels:
        raise EnvironmentLacksError(f"package {recipe.package} holds no kernel; name another in the recipe")
    return kernels[-1]


def place_modules(recipe: Kernel, unpacked: Path, kernel: Path, target: Path) -> None:
    """Copy modules to target as NN-NAME.ko: in the order of their numbers each finds what it needs."""
    version = kernel.name.removeprefix("vmlinuz-")
    base = unpacked / "usr" if (unpacked / "usr" / "lib" / "modules" / version).is_dir() else unpacked
    run_tool(["depmod", "-b", base, version])
    ordered: dict[str, None] = {}
    for module in recipe.modules:
        for line in run_tool(["modprobe", "-d", base, "-S", version, "--show-depends", module]).decode().splitlines():
            words = line.split()
            if words[:1] == ["insmod"]:  # "builtin NAME" needs nothing
                ordered[words[1]] = None
    target.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(map(Path, ordered)):
        place = target / f"{number:02}-{path.name.removesuffix('.xz')}"
        if path.suffix == ".xz":
            place.write_bytes(lzma.decompress(path.read_bytes()))
        else:
            shutil.copyfile(path, place)
