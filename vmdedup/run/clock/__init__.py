"""Two clocks for one run. Lockstep: virtual time, the same on any machine. Wall: everybody runs freely."""

from __future__ import annotations
