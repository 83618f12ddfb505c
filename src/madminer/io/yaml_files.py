"""YAML files that people write: read safely, with the line of each entry for messages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from madminer import checks
from madminer.errors import FileFormatError, MadMinerError, MissingFileError, OptionError
from madminer.typing import StrPath

__all__ = ["YamlFile", "parse_yaml", "read_yaml"]

_LARGEST = 10_000_000  # bytes; nobody writes more by hand
_DEEPEST = 50


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
        node, line = self.root, 1
        for key in keys:
            found = _child(node, key)
            if found is None:
                break
            head, node = found
            line = head.start_mark.line + 1
        return f"{self.source}, line {line}"


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
    """Parse the text of a YAML file.

    Args:
        text: The text.
        source: Where it comes from, for messages.

    Raises:
        FileFormatError: If it is no YAML with named entries.
        OptionError: If a key stands twice in one place.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _check(root, source, set(), 0)
        content = yaml.safe_load(text)
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
        for head, value in node.value:
            if isinstance(head, yaml.ScalarNode) and head.value == str(key):
                return head, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    return None
