"""What the fork server loads before it forks the processes of a script. Not to be imported elsewhere."""

from __future__ import annotations

from vmdedup.ksm import preload
from vmdedup.replay.process import play_process

__all__ = ["play_process", "preload"]
