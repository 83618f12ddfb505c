"""``python -m madminer`` is the command ``madminer``."""

from __future__ import annotations

from madminer.cli.main import main

if __name__ == "__main__":
    main()
