"""Running Delphes: its output is complete and has its name, or an error says why."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path
from typing import IO, Final

from madminer.errors import FileFormatError, MissingFileError, NoEventsError, SimulatorError
from madminer.io.atomic import output_errors, prepare_target, replace_file, temporary_folder
from madminer.io.hepmc import hepmc_version, require_complete, uncompressed_copy
from madminer.io.root_files import DelphesFile
from madminer.madgraph.execute import started

_PROGRAMS: Final = {2: ("DelphesHepMC2", "DelphesHepMC"), 3: ("DelphesHepMC3",)}
_COMPRESSED: Final = (".gz", ".bz2", ".xz", ".zst")
_EVENTS: Final = (".hepmc", ".hepmc2", ".hepmc3")
_TAIL: Final = 20  # lines of the log in messages
_LONGEST_TAIL: Final = 1 << 14  # bytes

logger = logging.getLogger(__name__)


def delphes_output(hepmc: Path) -> Path:
    """Where the events of Delphes go: beside the HepMC file, under its name.

    Examples:
        >>> delphes_output(Path("run_01/events.hepmc.gz")).name
        'events_delphes.root'
    """
    name = hepmc.name
    for endings in (_COMPRESSED, _EVENTS):
        name = name.removesuffix(Path(name).suffix) if Path(name).suffix in endings else name
    return hepmc.with_name(f"{name}_delphes.root")


def find_program(folder: Path, hepmc: Path) -> Path:
    """The program of Delphes that reads a HepMC file of its version.

    Raises:
        MissingFileError: If there is none.
        FileFormatError: If the file is no HepMC file.
    """
    version = hepmc_version(hepmc)
    names = _PROGRAMS[version]
    for path in (folder / part / name for part in ("", "bin") for name in names):
        if path.is_file():
            return path
    raise MissingFileError(
        f"There is no {' or '.join(names)} in {folder}, which {hepmc} needs, a file of HepMC "
        f"{version}. Give as delphes_directory the folder where Delphes 3 was compiled."
    )


def run_delphes_program(
    program: Path,
    card: Path,
    hepmc: Path,
    log: IO[bytes],
    initial_command: str | None,
    timeout: float | None,
) -> Path:
    """Run Delphes on a HepMC file, plain or compressed.

    It writes into a folder beside the output; what it wrote replaces an older output when it is
    whole.

    Returns:
        The output.

    Raises:
        FileFormatError: If the HepMC file is truncated.
        SimulatorError: If it fails, takes too long or writes no complete file.
        OutputError: If the output cannot be written.
    """
    output = prepare_target(delphes_output(hepmc))
    with temporary_folder(output.name, output.parent) as folder:
        events = uncompressed_copy(hepmc, folder / "events.hepmc")
        require_complete(events)
        result = folder / output.name
        command = [str(path.absolute()) for path in (program, card, result, events)]
        if initial_command is not None:
            command = ["bash", "-c", f'{initial_command}\nexec "$@"', "bash", *command]
        start = os.fstat(log.fileno()).st_size
        log.write(f"{' '.join(command)}\n".encode())
        log.flush()
        problem = _run(command, log, timeout) or _problem_of_output(result)
        if problem:
            raise SimulatorError(
                f"{program.name} {problem} on {hepmc}. The end of its log {log.name}:\n"
                f"{_tail(Path(log.name), start)}"
            )
        with output_errors(output):
            replace_file(result, output)
    logger.info("Delphes has written %s", output)
    return output


def _run(command: list[str], log: IO[bytes], timeout: float | None) -> str:
    """Run a command; say what went wrong."""
    with started(command, log) as process:
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            return f"was ended after {timeout:g} s"
    return f"ended with the exit code {code}" if code else ""


def _problem_of_output(path: Path) -> str:
    try:
        DelphesFile(path).__exit__(None, None, None)
    except MissingFileError:
        return "wrote no file"
    except (FileFormatError, NoEventsError) as error:
        return f"wrote no complete file ({error})"
    return ""


def _tail(log: Path, start: int) -> str:
    """Last lines of what a program printed."""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - _LONGEST_TAIL))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-_TAIL:])
