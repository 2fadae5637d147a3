"""python -m vmdedup: the same as the vmdedup command."""

from __future__ import annotations

from vmdedup.cli import main

if __name__ == "__main__":
    main()
