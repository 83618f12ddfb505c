"""External programs end with the process that has started them, however that ends."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_GUARD: Final = """\
read -r _
kill -s TERM -- "-$1" && sleep 3 && kill -s KILL -- "-$1"
"""
"""Waits for the end of its input, which comes when the process that holds the other end is gone."""


@contextmanager
def guarded(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a program and its children if this process is killed within a block.

    SIGKILL, or a system that is out of memory, leaves no time to clean up. So a small shell watches
    from a session of its own: its input is a pipe, which the system closes at the latest then.

    Args:
        process: The program, in a session of its own.
    """
    guard = subprocess.Popen(  # noqa: S603 (a list of arguments)
        ["/bin/sh", "-c", _GUARD, "guard", str(process.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with guard:  # which closes its input and waits for it
        try:
            yield
        finally:
            guard.kill()  # it must not outlive the program, whose number others may get
