"""Modules that another user leaves where ours are looked for, and a command to be run there."""

from __future__ import annotations

import sys

BAIT = ("socket", "random", "types", "queue", "numbers", "signal", "selectors", "vmdedup")
PLANTED = "import os\nopen({marker!r}, 'a').write(f'{{__name__}} ran as {{os.getuid()}}\\n')\n"
COMMAND = [sys.executable, "-P", "-c", "import sys; from vmdedup.cli import main; main()"]
