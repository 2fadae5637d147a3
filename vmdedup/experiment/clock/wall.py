"""Real time: all guests and ksmd run freely against each other; rows are taken as they go by.

Nothing stands still while a row is taken, so its figures may be off by the pages that changed meanwhile. What
happens to guests (start, pause, leave, death) happens while everybody stands between two operations.
"""

from __future__ import annotations
