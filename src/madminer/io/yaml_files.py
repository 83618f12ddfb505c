"""YAML files that people write: read safely, with the line of each entry for messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from madminer import checks
from madminer.errors import FileFormatError, MadMinerError, MissingFileError, OptionError
from madminer.typing import StrPath

_LARGEST = 10_000_000  # bytes; nobody writes more by hand
_DEEPEST = 50
_EXACT = 2**53  # whole numbers up to this are exact as floats
_POWER_OF_TEN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # has no types
    """Reads 3e5 and 3.6e4 as numbers, which YAML 1.1 takes for texts."""


def _number(loader: _Loader, node: yaml.ScalarNode) -> float:
    """A number; with a power of ten a whole one where it is whole, so that 1e5 is 100000."""
    value = float(loader.construct_yaml_float(node))
    is_whole = "e" in node.value.lower() and value.is_integer() and abs(value) < _EXACT
    return int(value) if is_whole else value


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _POWER_OF_TEN, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:float", _number)


@dataclass(frozen=True, slots=True, eq=False)
class YamlFile:
    """The content of a YAML file, and where it stands.

    Args:
        source: The file.
        content: Its entries.
        root: Its nodes, which know their lines.
    """

    source: Path
    content: dict[str, Any]
    root: Any

    def place(self, *keys: object) -> str:
        r"""File and line of an entry, or of the innermost one that exists above it.

        Args:
            *keys: Keys and positions in lists that lead to it.

        Examples:
            >>> file = parse_yaml("a: 1\nb:\n  - c: 2\n", Path("x.yaml"))
            >>> file.place("b", 0, "c"), file.place("b", 0, "missing")
            ('x.yaml, line 3', 'x.yaml, line 3')
        """
        return f"{self.source}, line {self.line(*keys)}"

    def line(self, *keys: object) -> int:
        """Line of an entry, or of the innermost one that exists above it, from 1."""
        node, line = self.root, 1
        for key in keys:
            found = _child(node, key)
            if found is None:
                break
            head, node = found
            line = head.start_mark.line + 1
        return line


def read_yaml(filename: StrPath) -> YamlFile:
    """Read a YAML file whose entries have names.

    Args:
        filename: The file.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is no YAML; the message names the line.
        OptionError: If a key stands twice in one place, of which YAML would take the last one
            without a word.
    """
    path = checks.path(filename)
    if not path.is_file():
        raise MissingFileError(f"There is no file {path}. Check the path.")
    if path.stat().st_size > _LARGEST:
        raise FileFormatError(f"{path} is larger than any YAML file that is written by hand.")
    return parse_yaml(path.read_text(encoding="utf-8", errors="replace"), path)


def parse_yaml(text: str, source: Path) -> YamlFile:
    r"""Parse the text of a YAML file; numbers may have powers of ten, such as 3e5.

    Examples:
        >>> parse_yaml("luminosity: 3.6e4\nn_samples: 1e5\nstep: 1e-3", Path("x.yaml")).content
        {'luminosity': 36000, 'n_samples': 100000, 'step': 0.001}
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        _check(root, source, set(), 0)
        content = None if root is None else loader.construct_document(root)
    except MadMinerError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise FileFormatError(f"{source} is no YAML file: {reason}") from error
    if not isinstance(content, dict):
        raise FileFormatError(
            f"{source} must hold entries with names, as 'key: value', got {checks.shown(content)}."
        )
    return YamlFile(source, content, root)


def _check(node: Any, source: Path, above: set[int], depth: int) -> None:
    """Refuse keys that stand twice, and aliases, which can grow without bound."""
    if node is None or isinstance(node, yaml.ScalarNode):
        return
    if id(node) in above or depth > _DEEPEST:
        raise FileFormatError(f"{source} refers to itself, or is nested too deeply.")
    above = above | {id(node)}
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        repeated = sorted({key for key in keys if keys.count(key) > 1})
        if repeated:
            line = node.start_mark.line + 1
            raise OptionError(
                f"{source}, line {line}: {', '.join(repeated)} stands twice in one place. Keep "
                "one of them."
            )
    children = [v for _, v in node.value] if isinstance(node, yaml.MappingNode) else node.value
    for child in children:
        _check(child, source, above, depth + 1)


def _child(node: Any, key: object) -> tuple[Any, Any] | None:
    """The node of a key with the node that has its line."""
    if isinstance(node, yaml.MappingNode):
        for head, value in reversed(node.value):  # entries that << brings stand before its own
            if isinstance(head, yaml.ScalarNode) and head.value == str(key):
                return head, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    return None
