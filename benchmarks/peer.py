"""The peer: MadMiner 0.9.6 in a virtual environment of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["VERSION", "install_peer"]

VERSION = "0.9.6"
CONSTRAINTS = Path(__file__).with_name("peer-constraints.txt")


def install_peer(folder: Path) -> Path:
    """Create the environment unless it is there as the constraints want it.

    Args:
        folder: Where the environment lives.

    Returns:
        Its Python interpreter.

    Raises:
        SystemExit: If it cannot be installed.
    """
    python = folder / "bin" / "python"
    stamp = folder / "installed-with.txt"
    wanted = CONSTRAINTS.read_text()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"Installing MadMiner {VERSION} in {folder} (a few minutes, once) ...", flush=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([*install, "-c", str(CONSTRAINTS), f"madminer=={VERSION}"], check=True)
    except subprocess.CalledProcessError as error:
        raise SystemExit(
            f"MadMiner {VERSION} could not be installed ({error}). It needs a Python for which "
            f"the versions in {CONSTRAINTS.name} exist (3.11 does) and access to PyPI."
        ) from error
    stamp.write_text(wanted)
    return python
