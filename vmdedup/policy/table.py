"""Every policy by name, and policies of one's own from a Python file."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vmdedup.errors import UsageError
from vmdedup.late import load
from vmdedup.policy.base import Policy

POLICIES: Final[Mapping[str, str]] = {
    "advisor": "vmdedup.policy.controllers.advisor:Advised",
    "background": "vmdedup.policy.mobile.background:Background",
    "clear_containers": "vmdedup.policy.controllers.clear_containers:ClearContainers",
    "difference_engine": "vmdedup.policy.difference_engine.policy:DifferenceEngine",
    "esx": "vmdedup.policy.esx.policy:Esx",
    "exclusion": "vmdedup.policy.mobile.exclusion:Exclusion",
    "group_limited": "vmdedup.policy.mobile.group_limited:GroupLimited",
    "ideal": "vmdedup.policy.ideal:Ideal",
    "ksm": "vmdedup.policy.ksm:Ksm",
    "ksm_domains": "vmdedup.policy.tenancy.domains:KsmDomains",
    "ksmtuned": "vmdedup.policy.controllers.ksmtuned:Ksmtuned",
    "kubevirt": "vmdedup.policy.controllers.kubevirt:Kubevirt",
    "mom": "vmdedup.policy.controllers.mom:Mom",
    "n_chance": "vmdedup.policy.mobile.n_chance:NChance",
    "none": "vmdedup.policy.none:NoPolicy",
    "similar_page": "vmdedup.policy.mobile.similar_page:SimilarPage",
    "uksm": "vmdedup.policy.uksm.policy:Uksm",
    "vusion": "vmdedup.policy.vusion.policy:Vusion",
    "xlh": "vmdedup.policy.xlh.policy:Xlh",
    "zero_only": "vmdedup.policy.tenancy.zero_only:ZeroOnly",
    "zram": "vmdedup.policy.mobile.zram:Zram",
}


def load_policy(name: str) -> type[Policy]:
    """A policy's class, by its name or as FILE.py or FILE.py:CLASS. Raises UsageError with the remedy."""
    if name in POLICIES:
        found: type[Policy] = load(POLICIES[name])
        return found
    path, _, wanted = name.partition(":")
    if not path.endswith(".py"):
        known = ", ".join(sorted(POLICIES))
        raise UsageError(f"there is no policy {name!r}; give one of {known}, or a Python file of your own")
    return _from_file(Path(path), wanted)


def look_at(name: str) -> None:
    """See, without running it, that FILE.py or FILE.py:CLASS can be a policy. Raises UsageError with the remedy."""
    path, _, wanted = name.partition(":")
    try:
        _require_file(Path(path))
        tree = ast.parse(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; give a file that can be read") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{path} is no Python: {error}") from None
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    if not classes or (wanted and wanted not in classes):
        names = ", ".join(classes) or "none"
        raise UsageError(f"{path} has to define a policy (it defines {names}); name it as {path}:CLASS")


def policy_label(name: str) -> str:
    """What a policy is called in results: its name, or what FILE.py is called without its folder and ending."""
    path, _, wanted = name.partition(":")
    if not path.endswith(".py"):
        return name
    return f"{Path(path).stem}-{wanted}" if wanted else Path(path).stem


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"{path} is no file; give one that defines a policy, or a name of `vmdedup policy list`")


def _from_file(path: Path, wanted: str) -> type[Policy]:
    """The one policy that a file defines, or the one that is wanted."""
    _require_file(path)
    specification = importlib.util.spec_from_file_location(f"vmdedup_policy_{path.stem}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look their module up
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from None
    found = [kind for kind in vars(module).values() if _is_policy(kind) and kind.__module__ == module.__name__]
    own: list[type[Policy]] = found
    chosen = [kind for kind in own if not wanted or kind.__name__ == wanted]
    if len(chosen) != 1:
        names = ", ".join(kind.__name__ for kind in own) or "none"
        raise UsageError(f"{path} has to define one policy (it defines {names}); name it as {path}:CLASS")
    return chosen[0]


def _is_policy(kind: object) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Policy) and not inspect.isabstract(kind)
