"""Running external programs: never interactive, in bounded time, ended with all their children."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from madminer.errors import SimulatorError
from madminer.io.atomic import cleaned_up, output_errors
from madminer.madgraph.guard import guarded
from madminer.madgraph.log import LogWatcher, log_tail

_LOOK = 0.1
"""Seconds between two looks at a process and its log."""

_GRACE = 3.0
"""Seconds that processes have to end by themselves, when they are told to."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a program may take.

    Args:
        timeout: Seconds in all; None for any time.
        quiet_timeout: Seconds without a word in its log, after which it is taken to hang; None
            for any time.
    """

    timeout: float | None = None
    quiet_timeout: float | None = None


class Stop:
    """A wish to end, seen by all threads; in another process a wish of its own.

    There it is not needed: Ctrl-C reaches every process of the terminal.
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    def __reduce__(self) -> tuple[type[Stop], tuple[()]]:
        return Stop, ()

    def set(self) -> None:
        """Wish it."""
        self._event.set()

    @property
    def is_set(self) -> bool:
        """Whether it was wished."""
        return self._event.is_set()


def call(
    command: Sequence[str],
    log: Path,
    *,
    folder: Path,
    limits: Limits,
    environment: Mapping[str, str] | None = None,
    stop: Stop | None = None,
    show: Callable[[str], None] = lambda _: None,
    problem: Callable[[], str] = str,
) -> int:
    r"""Run a program to its end; its standard input is empty, its output goes to a log.

    It gets a session of its own. At an error, Ctrl-C, SIGTERM, SIGKILL, or when its time is over,
    all processes of this session are ended, and so are those that it leaves behind.

    Args:
        command: Program and arguments; no shell reads them.
        log: File for everything that it prints, replaced if it exists.
        folder: Working folder.
        limits: How long it may take.
        environment: Its variables; None for those of this process.
        stop: Ends it when set by another thread.
        show: Called with what it is doing, whenever that changes.
        problem: Called now and then; ends it with the text that it returns, unless that is empty.

    Returns:
        Its exit status, which of MadGraph says nothing.

    Raises:
        SimulatorError: If it cannot be started, takes too long, with the end of the log, or has a
            problem.
        OutputError: If the log cannot be written.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> call(["echo", "a b"], folder / "log", folder=folder, limits=Limits())
        0
        >>> (folder / "log").read_text()
        'a b\n'
    """
    with output_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("wb")
    with output:
        process = _start(command, output.fileno(), folder, environment)
    with cleaned_up(lambda: _end_session(process)), guarded(process):
        return _wait(process, log, limits, stop or Stop(), LogWatcher(log, show), problem)


def is_running(number: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to another user
        return True
    return True


def _start(
    command: Sequence[str], output: int, folder: Path, environment: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 (a list of arguments, no shell)
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise SimulatorError(
            f"{command[0]} cannot be started ({reason}). Check that it exists and is executable."
        ) from error


def _wait(
    process: subprocess.Popen[bytes],
    log: Path,
    limits: Limits,
    stop: Stop,
    watcher: LogWatcher,
    problem: Callable[[], str],
) -> int:
    begin = last_word = time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            status = process.wait(_LOOK)
            watcher.look()
            return status
        now = time.monotonic()
        last_word = now if watcher.look() else last_word
        if stop.is_set:
            raise SimulatorError(
                f"The run that writes {log} was ended, as all runs were told to end."
            )
        if found := problem():
            raise SimulatorError(f"{found} The log is {log}.")
        if limits.timeout is not None and now - begin > limits.timeout:
            raise _too_long(log, f"did not end within timeout = {limits.timeout:g} s")
        if limits.quiet_timeout is not None and now - last_word > limits.quiet_timeout:
            raise _too_long(log, f"wrote nothing for quiet_timeout = {limits.quiet_timeout:g} s")


def _too_long(log: Path, what: str) -> SimulatorError:
    return SimulatorError(
        f"The program {what} and was ended. If it only is slow, allow more. The end of its log "
        f"{log}:\n{log_tail(log)}"
    )


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End a process and all its children: gently, then without asking."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        except PermissionError:  # on macOS, of a group that has just ended
            break
        _wait_for_session(process)
    process.wait()


def _wait_for_session(process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _GRACE
    while time.monotonic() < end:
        process.poll()  # so that it does not stay as a dead one of the group
        try:
            os.killpg(process.pid, 0)
        except OSError:
            return
        time.sleep(0.02)
