"""Constants that scatter words over 64 bits: in guest.seeds on arrays, in jit.draw one by one.

Source: Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA'14, with the constants of
Stafford's variant 13.
"""

from __future__ import annotations

from typing import Final

STEP: Final = 0x9E3779B97F4A7C15
MIX_1: Final = 0xBF58476D1CE4E5B9
MIX_2: Final = 0x94D049BB133111EB
MASK: Final = (1 << 64) - 1
