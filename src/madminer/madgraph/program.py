"""MadGraph as a program: where it is, how it is started."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Final

from madminer.errors import MissingFileError, SimulatorError

logger = logging.getLogger(__name__)

_OLDEST: Final = (2, 9)  # version of MadGraph that the driver was written for
_YOUNGEST: Final = (3, 6)
_OPTIONS: Final = ("-O", "-W", "ignore::DeprecationWarning")


@dataclass(frozen=True, slots=True)
class Program:
    """How programs of MadGraph are started.

    Args:
        directory: Folder of MadGraph.
        python: Python that starts it; None for python3 of the path.
        initial_command: Shell text that runs before each call, such as ``"source setup.sh"``.
    """

    directory: Path
    python: str | None = None
    initial_command: str | None = None

    @property
    def mg5(self) -> Path:
        """The program itself."""
        return self.directory / "bin" / "mg5_aMC"

    def command(self, program: Path, *arguments: str) -> list[str]:
        """Command that starts a program of MadGraph.

        Python gets -O: without it MadGraph starts itself again through a shell, which cuts paths
        at blanks and leaves a child that nobody waits for.
        """
        words = [str(program), *arguments]
        if _is_python(program):
            python = self.python or shutil.which("python3") or sys.executable
            words = [python, *_OPTIONS, *words]
        if self.initial_command is None:
            return words
        folder = self.python_folder  # again, as the command may change the path
        path = f'export PATH={quote(str(folder))}:"$PATH"\n' if folder else ""
        return ["bash", "-c", f'{self.initial_command}\n{path}exec "$@"', "bash", *words]

    @property
    def script_command(self) -> str:
        """The beginning of a command of MadGraph in a script of the shell."""
        return " ".join(quote(word) for word in (self.python or "python3", *_OPTIONS))

    @property
    def python_folder(self) -> Path | None:
        """Where programs beside its Python are, such as its f2py; None if that is not known."""
        folder = Path(self.python or "").parent
        return None if folder == Path() else folder

    def environment(self) -> dict[str, str]:
        """Variables of its processes: programs beside its Python come first."""
        variables = dict(os.environ)
        if self.python_folder is not None:
            path = variables.get("PATH", os.defpath)
            variables["PATH"] = os.pathsep.join([str(self.python_folder), path])
        return variables


def find_madgraph(directory: Path) -> None:
    """Check that there is a MadGraph that can be started in a folder.

    Raises:
        MissingFileError: If there is none.
        SimulatorError: If its program is not executable.
    """
    program = directory / "bin" / "mg5_aMC"
    if not program.is_file():
        raise MissingFileError(
            f"There is no MadGraph in {directory}: bin/mg5_aMC is missing. Give the folder of "
            f"MadGraph as mg_directory."
        )
    if not os.access(program, os.X_OK):
        raise SimulatorError(f"{program} is not executable. Make it so: chmod +x {program}")
    if has_blanks(directory):
        logger.warning("MadGraph may fail in %s, as its folder has blanks in its path", directory)
    version = _version(directory)
    if version is not None and not _OLDEST <= version[:2] <= _YOUNGEST:
        logger.warning(
            "MadGraph %s is not one of the versions %s to %s that were tried",
            ".".join(map(str, version)),
            ".".join(map(str, _OLDEST)),
            ".".join(map(str, _YOUNGEST)),
        )


def _version(directory: Path) -> tuple[int, ...] | None:
    """Version of a MadGraph, None if it is not known."""
    try:
        text = (directory / "VERSION").read_text(errors="replace")
    except OSError:
        return None
    found = re.search(r"version\s*=\s*(\d+(?:\.\d+)*)", text)
    return tuple(int(number) for number in found[1].split(".")) if found else None


def has_blanks(path: Path | str) -> bool:
    """Whether a path has blanks, at which MadGraph and its shell scripts cut it.

    Examples:
        >>> has_blanks("/data/my events")
        True
    """
    return bool(re.search(r"\s", str(path)))


def _is_python(program: Path) -> bool:
    """Whether it is a script of Python; installed ones may be scripts of the shell."""
    try:
        with program.open("rb") as file:
            return b"python" in file.readline(200)
    except OSError:
        return True
