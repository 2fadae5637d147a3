"""What people and programs are shown of a run, made from its results alone; one output a file.

summary   the text after a run
console   what they are rendered on: foreign text is spelled out there
live      the table during a run
"""

from __future__ import annotations
