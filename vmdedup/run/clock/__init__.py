"""Clocks. Lockstep: virtual time, the same on any machine. Wall: all run freely. Watching: guests that are not ours."""

from __future__ import annotations
