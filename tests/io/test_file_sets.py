"""A set of files is the old one or the new one, wherever its writer is interrupted."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from madminer.errors import FileFormatError, MissingFileError, OutputError
from madminer.io import file_sets
from madminer.io.file_sets import FileSet, digests, head_of, parse_json, read_json, reading

OLD = {"a": b"old a", "b": b"old b", "c": b"old c"}
NEW = {"a": b"new a", "b": b"old b", "d": b"new d"}


class Killed(BaseException):
    """What ends a writer in these tests."""


def make_set(folder: Path, prefix: str = "x_") -> FileSet:
    return FileSet(folder, prefix, "head.json", lambda _: "abcd")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def without_digests(files: FileSet) -> None:
    """Make a set as MadMiner 0.9 would have written it."""
    content = json.loads(files.path.read_text())
    del content["files"]
    files.path.write_text(json.dumps(content))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    files = make_set(tmp_path / "new" / "folder")
    files.write({"n": 1}, OLD)
    assert names(files.folder) == ["x_a", "x_b", "x_c", "x_head.json"]
    content, members = files.read()
    assert content == {"n": 1, "files": digests(OLD)}
    assert members == OLD
    assert files.read(lambda name: name == "b")[1] == {"b": b"old b"}
    assert files.path.read_bytes() == head_of({"n": 1}, digests(OLD))


def test_files_that_a_new_set_lacks_are_removed_and_others_stay(tmp_path: Path) -> None:
    files = make_set(tmp_path)
    (tmp_path / "x_e").write_text("of the user")
    (tmp_path / ".x_a.new").write_text("of the user")
    make_set(tmp_path, "").write({}, OLD)
    for change in (lambda _: None, without_digests):
        files.write({}, OLD)
        change(files)
        files.write({}, NEW)
        assert files.read()[1] == NEW
        expected = {".x_a.new", "a", "b", "c", "head.json", "x_e"}
        assert {*names(tmp_path)} == expected | {"x_a", "x_b", "x_d", "x_head.json"}


@contextmanager
def killed_at(step: int, patch: pytest.MonkeyPatch, half: bool) -> Iterator[list[str]]:
    """Kill the writer at one of its steps, before it or in the middle; nothing is cleaned up."""
    steps: list[str] = []

    def wrap(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def wrapper(path: Path, *arguments: Any, **keywords: Any) -> Any:
            steps.append(name)
            if len(steps) == step:
                if half and name == "write":
                    path.write_bytes(arguments[0][:-1])
                raise Killed
            return function(path, *arguments, **keywords)

        return wrapper

    @contextmanager
    def unless_killed(action: Callable[[], None]) -> Iterator[None]:
        yield
        action()

    with patch.context() as context:
        context.setattr(file_sets, "write_to_disk", wrap(file_sets.write_to_disk, "write"))
        context.setattr(file_sets, "replace_file", wrap(file_sets.replace_file, "replace"))
        context.setattr(Path, "unlink", wrap(Path.unlink, "unlink"))
        context.setattr(file_sets, "cleaned_up", unless_killed)
        yield steps


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("old_has_digests", [False, True])
def test_a_killed_writer_leaves_the_old_set_or_the_new_one(
    old_has_digests: bool, half: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: list[Mapping[str, bytes]] = []
    for step in range(1, 100):
        files = make_set(tmp_path / str(step))
        files.write({"n": 1}, OLD)
        if not old_has_digests:
            without_digests(files)
        try:
            with killed_at(step, monkeypatch, half) as steps:
                files.write({"n": 2}, NEW)
        except Killed:
            content, members = files.read()
            assert (content["n"], members) in [(1, OLD), (2, NEW)]
            results.append(members)
            files.write({"n": 3}, OLD)
            assert names(files.folder) == ["x_a", "x_b", "x_c", "x_head.json"]
            assert files.read()[1] == OLD
        else:
            break
    assert {"write", "replace", "unlink"} == set(steps)
    assert results == sorted(results, key=lambda members: members == NEW)  # first old, then new
    assert NEW in results
    assert OLD in results


def test_a_set_within_a_set_is_whole_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the estimators of an ensemble: their settings come before their other files."""

    def nested(members: Mapping[str, bytes]) -> dict[str, bytes]:
        inner = {name: members[name] for name in "ab"}
        own = {f"x_{name}": data for name, data in inner.items()}
        return {"x_head.json": head_of({}, digests(inner)), **own, "z": members["a"]}

    for step in range(1, 100):
        outer = FileSet(tmp_path / str(step), "", "outer.json", lambda _: ())
        outer.write({}, nested(OLD))
        try:
            with killed_at(step, monkeypatch, half=False):
                outer.write({}, nested(NEW))
        except Killed:
            assert make_set(outer.folder).read()[1]["a"] in {OLD["a"], NEW["a"]}
            assert outer.read()[1] in [nested(OLD), nested(NEW)]
        else:
            break
    assert step > 8


def test_an_error_leaves_no_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = make_set(tmp_path)
    files.write({}, OLD)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    write, calls = file_sets.write_to_disk, []

    def full(path: Path, data: bytes) -> None:
        calls.append(path)
        if len(calls) == 3:
            path.write_bytes(data[:2])
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(file_sets, "write_to_disk", full)
    with pytest.raises(OutputError, match=r"Cannot write .*x_head\.json \(No space left on device"):
        files.write({}, NEW)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_of_other_sets_are_refused(tmp_path: Path) -> None:
    files = make_set(tmp_path)
    files.write({}, OLD)
    (tmp_path / "x_b").write_bytes(b"another")
    with pytest.raises(FileFormatError, match=r"x_b is missing, or is not the file that was saved"):
        files.read()
    assert files.read(lambda name: name != "b")[1] == {"a": b"old a", "c": b"old c"}
    (tmp_path / "x_b").unlink()
    with pytest.raises(MissingFileError, match="x_b is missing"):
        files.read()
    files.write({}, NEW)
    assert files.read()[1] == NEW


def test_a_damaged_head_is_refused_and_can_be_replaced(tmp_path: Path) -> None:
    files = make_set(tmp_path)
    for head in (b"", b"[]", b"\xff", b'{"files": {"../a": 1}}', b'{"files": []}', b'{"n": NaN}'):
        files.path.write_bytes(head)
        with pytest.raises(FileFormatError):
            files.read()
        files.write({}, OLD)
        assert files.read()[1] == OLD
    with pytest.raises(MissingFileError):
        make_set(tmp_path, "y_").read()


@pytest.mark.skipif(sys.platform == "win32", reason="needs permissions of files")
def test_permissions_of_replaced_files_stay(tmp_path: Path) -> None:
    files = make_set(tmp_path)
    files.write({}, OLD)
    (tmp_path / "x_a").chmod(0o640)
    files.path.chmod(0o600)
    files.write({}, NEW)
    assert [(tmp_path / f"x_{name}").stat().st_mode & 0o777 for name in ("a", "head.json")] == [
        0o640,
        0o600,
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks of folders")
def test_writers_and_readers_at_once(tmp_path: Path) -> None:
    files, contents = make_set(tmp_path), [OLD, NEW]
    files.write({}, OLD)
    errors: list[BaseException] = []
    done = threading.Event()

    def repeat(action: Callable[[int], None]) -> None:
        try:
            i = 0
            while not done.is_set():
                action(i)
                i += 1
        except BaseException as error:  # noqa: BLE001 (given on)
            errors.append(error)
            done.set()

    def write(i: int) -> None:
        files.write({}, contents[i % 2])

    def read(_: int) -> None:
        assert files.read()[1] in contents

    threads = [threading.Thread(target=repeat, args=[action]) for action in (write, write, read)]
    for thread in threads:
        thread.start()
    done.wait(2.0)
    done.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(names(tmp_path)) == 4


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs permissions")
def test_read_only_folders_are_read(tmp_path: Path) -> None:
    files = make_set(tmp_path / "new")
    files.write({}, OLD)
    files.folder.chmod(0o500)
    assert files.read()[1] == OLD
    with pytest.raises(OutputError, match="Permission denied"):
        files.write({}, NEW)


def test_copied_files_are_read_under_another_name(tmp_path: Path) -> None:
    make_set(tmp_path).write({}, OLD)
    for path in list(tmp_path.iterdir()):
        shutil.copy(path, tmp_path / path.name.replace("x_", "copy_"))
    assert make_set(tmp_path, "copy_").read()[1] == OLD


def test_numbers_of_settings_are_finite(tmp_path: Path) -> None:
    assert parse_json(b'{"a": [1.5, null, "NaN"]}') == {"a": [1.5, None, "NaN"]}
    for text in ("NaN", "-Infinity", "1e999"):
        (tmp_path / "a.json").write_text(f'{{"a": [{{"b": {text}}}]}}')
        with pytest.raises(FileFormatError, match="is no finite number"):
            read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"a":' * 10_000)
    with pytest.raises(FileFormatError, match=r"a\.json is damaged"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("error", [KeyError("a"), MemoryError(), OSError(5, "x"), ValueError("y")])
def test_the_guard_gives_one_error(error: Exception) -> None:
    expected = rf"f\.x is damaged .*{type(error).__name__}.* Go\."
    with pytest.raises(FileFormatError, match=expected), reading("f.x", "Go."):
        raise error
    with pytest.raises(KeyboardInterrupt), reading("f.x", "Go."):
        raise KeyboardInterrupt


def test_what_libraries_say_of_a_file_is_shown_as_text() -> None:
    with pytest.raises(FileFormatError, match=r"a\\x1b\[2J b") as info, reading("f.x", "Go."):
        raise ValueError("a\x1b[2J\nb")
    assert "\x1b" not in str(info.value)
