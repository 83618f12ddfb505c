"""Running external programs: never interactive, in bounded time, ended with all their children."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from madminer.errors import SimulatorError
from madminer.io.atomic import cleaned_up, output_errors
from madminer.madgraph.log import LogWatcher, log_tail

_LOOK: Final = 0.1  # seconds between two looks at a process and its log
_GRACE: Final = 3.0  # seconds that processes have to end by themselves, when they are told to

_GUARD: Final = """\
read -r _
kill -s TERM -- "-$1" && sleep 3 && kill -s KILL -- "-$1"
"""
"""Waits for the end of its input, which comes when the process that holds the other end is gone."""


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
    with output, started(command, output, folder=folder, environment=environment) as process:
        return _wait(process, log, limits, stop or Stop(), LogWatcher(log, show), problem)


@contextmanager
def started(
    command: Sequence[str],
    output: IO[bytes],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own, without input; with the block, all of the session ends.

    SIGKILL of this process, or a system that is out of memory, leaves no time to clean up. So a
    small shell watches from another session: its input is a pipe, which the system closes at the
    latest then.

    Raises:
        SimulatorError: If it cannot be started.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 (a list of arguments, no shell)
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise SimulatorError(
            f"{command[0]} cannot be started ({reason}). Check that it exists and is executable."
        ) from error
    with cleaned_up(lambda: _end_session(process)):
        guard = subprocess.Popen(  # noqa: S603 (a list of arguments)
            ["/bin/sh", "-c", _GUARD, "guard", str(process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        with guard:  # which closes its input and waits for it
            try:
                yield process
            finally:
                guard.kill()  # it must not outlive the program, whose number others may get


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
        end = time.monotonic() + _GRACE
        try:
            os.killpg(process.pid, number)
            while time.monotonic() < end:
                process.poll()  # so that it does not stay as a dead one of the group
                os.killpg(process.pid, 0)
                time.sleep(0.02)
        except OSError:  # there is nobody left; on macOS it may say that it is not permitted
            break
    process.wait()
