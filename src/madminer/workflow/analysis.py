"""Reading an analysis file and checking it whole, before anything runs."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from madminer.checks import path, shown
from madminer.errors import MissingFileError, OptionError
from madminer.evidence import report_weakness
from madminer.io.yaml_files import YamlFile, read_yaml
from madminer.text import ShownAsTable, Table, one_line, shortened
from madminer.typing import StrPath
from madminer.workflow.faults import Fault, meant, no_such
from madminer.workflow.file_checks import check_analysis
from madminer.workflow.schema import Analysis

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AnalysisFile(ShownAsTable):
    """An analysis, and the file that it stands in.

    Args:
        analysis: The analysis.
        file: The file, which knows the lines of entries.
    """

    analysis: Analysis
    file: YamlFile

    def __repr__(self) -> str:
        """Name and file."""
        return f"AnalysisFile({one_line(self.analysis.name)}, {one_line(self.file.source)})"

    @property
    def table(self) -> Table:
        """What the file holds, a section a row; `plan_analysis` shows the stages."""
        analysis = self.analysis
        events = analysis.events
        n_events = len(events.files) + len(events.samples)
        named: dict[str, Iterable[str]] = {
            "simulation": analysis.simulation,
            "samples": analysis.samples,
            "estimators": analysis.estimators,
            "limits": analysis.limits,
        }
        rows = [
            ("file", one_line(self.file.source)),
            ("results", one_line(self.folder)),
            ("seed", str(analysis.seed)),
            ("events", f"{n_events} {'event files' if events.files else 'samples of events'}"),
            *((section, shortened(list(names))) for section, names in named.items() if names),
            *([("information", "yes")] if analysis.information is not None else []),
        ]
        return Table(("section", "what"), rows, f"Analysis {one_line(analysis.name)}")

    @property
    def folder(self) -> Path:
        """Folder of the results."""
        here = self.file.source.absolute().parent
        return here / (self.analysis.folder or f"{self.file.source.stem}_results")

    def path(self, path: Path) -> Path:
        """A path of the file, which starts from its folder."""
        return self.file.source.absolute().parent / path


def load_analysis(filename: StrPath) -> AnalysisFile:
    """Read and check an analysis file.

    Args:
        filename: The YAML file; see `madminer.workflow.schema` for its form.

    Returns:
        The analysis.

    Raises:
        MissingFileError: If there is no such file, or it is a folder.
        FileFormatError: If it is no YAML.
        OptionError: If an entry is unknown, missing or not valid; all faults are named, each with
            its line and what is allowed.
        EvidenceError: In strict mode, if points lie where morphing extrapolates far, which else is
            a warning.
    """
    _refuse_folder(path(filename))
    file = read_yaml(filename)
    try:
        found = AnalysisFile(Analysis.model_validate(file.content), file)
    except ValidationError as error:
        raise OptionError(_text(file, _faults_of_form(file.content, error))) from error
    faults, doubts = check_analysis(found.analysis, found.path(Path()))
    if faults:
        raise OptionError(_text(file, _in_file(file.content, faults)))
    if doubts:
        report_weakness(logger, "%s", _text(file, _in_file(file.content, doubts)))
    return found


def _refuse_folder(folder: Path) -> None:
    if folder.is_dir():
        found = [one_line(file) for file in sorted(folder.glob("*.y*ml"))]
        hint = f", such as {found[0]}" if found else "; madminer init writes one"
        raise MissingFileError(f"{folder} is a folder. Give an analysis file{hint}.")


def json_schema() -> dict[str, Any]:
    """The form of an analysis file as JSON schema, for editors."""
    return Analysis.model_json_schema()


def _text(file: YamlFile, faults: Sequence[Fault]) -> str:
    """A line for each fault in their order; what entries take from one anchor is said once."""
    first: dict[tuple[int, str], str] = {}
    for keys, text in sorted(faults, key=lambda fault: file.line(*fault[0])):
        name = ".".join(map(str, keys))
        begin = f"{keys[-1]} " if text.startswith(f"{keys[-1]} must ") else ""
        line = f"{file.place(*keys)}: {name}: {text.removeprefix(begin)}"
        first.setdefault((file.line(*keys), text), line)
    return "\n".join(first.values())


def _in_file(content: Any, faults: Sequence[Fault]) -> list[Fault]:
    """The same with those keys alone that are in the file, which short forms leave out."""
    return [(tuple(_keys(content, keys)), text) for keys, text in faults]


def _keys(
    content: Any, location: Sequence[object], *, is_missing: bool = False
) -> Iterator[object]:
    """The keys that are in the file, and the last one of an entry that is missing."""
    for i, key in enumerate(location):
        is_last = is_missing and i == len(location) - 1
        is_inside = (
            key in content
            if isinstance(content, dict)
            else isinstance(content, list) and isinstance(key, int) and key < len(content)
        )
        if is_inside or is_last:
            yield key
        if is_inside:
            content = content[key]


# Faults of the form, which pydantic finds; it names types and short forms between the keys


def _faults_of_form(content: Any, error: ValidationError) -> list[Fault]:
    faults = []
    for fault in error.errors(include_url=False):
        keys = tuple(_keys(content, fault["loc"], is_missing=fault["type"] == "missing"))
        if fault["type"] == "extra_forbidden":
            faults.append((keys, no_such("entry", keys[-1], _siblings(keys))))
        else:
            faults.append((keys, _reason(fault)))
    return faults


def _reason(fault: ErrorDetails) -> str:
    """What pydantic says, in our words."""
    kind, value = fault["type"], fault["input"]
    if kind == "missing":
        return "this entry is needed."
    if kind == "value_error":
        return f"{fault['ctx']['error']}."
    text = fault["msg"].replace("Input should be", "must be")
    if kind.startswith(("int_", "float_", "bool_")):
        text = text.partition(", ")[0]
    choices = re.findall("'([^']*)'", text) if kind == "literal_error" else []
    return f"{text}, got {shown(value)}. {meant(value, choices).capitalize()}".rstrip()


def _siblings(keys: Sequence[object]) -> list[str]:
    """Names of the entries that can stand where the keys lead."""
    schema = json_schema()
    parts = [schema]
    for key in keys[:-1]:
        inner = [_inside(part, key) for part in parts]
        parts = [part for one in inner for part in _variants(one, schema["$defs"])]
    return list(dict.fromkeys(name for part in parts for name in part.get("properties", {})))


def _inside(part: dict[str, Any], key: object) -> dict[str, Any]:
    """Schema of an entry, of any value of a dictionary, or of any element of a list."""
    found = part.get("properties", {}).get(key)
    return found or part.get("additionalProperties") or part.get("items") or {}


def _variants(part: Any, definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema itself, those that it refers to and those that it chooses from."""
    if not isinstance(part, dict):
        return
    yield part
    if "$ref" in part:
        yield from _variants(definitions[part["$ref"].rpartition("/")[2]], definitions)
    for other in (*part.get("anyOf", ()), *part.get("oneOf", ())):
        yield from _variants(other, definitions)
