"""Configuration of the documentation."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from importlib.metadata import version as _version
from inspect import isfunction
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.inspect import TypeAliasForwardRef
from sphinx.util.nodes import make_refnode

import madminer

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "MadMiner"
author = "The MadMiner developers"
copyright = "2026, the MadMiner developers"
release = _version("madminer")
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_codeautolink",
    "sphinxcontrib.katex",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
nitpicky = True
nitpick_ignore_regex = [
    # other packages, which have pages elsewhere
    (
        r"py:.*",
        r"(abc|awkward|collections|concurrent|contextlib|dataclasses|enum|h5py|logging|matplotlib"
        r"|numpy|os|pathlib|pyarrow|rich|scipy|torch|tqdm|types|typing)\..*|(madminer\.)?ArrayLike",
    ),
    ("py:class", r"an? .* providing a view on D's .*|D\[k\] if .*"),  # docstrings of `Mapping`
    ("py:class", r"Path|Figure"),  # of other packages, where only their names are known
    ("py:class", r"pydantic\..*|madminer\.workflow\.(schema|tasks)\..*"),
    # what stands in signatures, but is nothing that users call
    (
        "py:class",
        r"madminer\.(analysis|delphes|deprecation|expressions|fisherinformation|io|lhe|likelihood|limits"
        r"|madgraph|ml|models|nn|progress|reading|sampling|shower|simulate|stats|text)\..*|P"
        r"|CellResponse|DensityModel|EstimatedScores|Executor|HistBins|ScoreModel|Trajectory"
        r"|nn\.(Module|Parameter)",
    ),
]
suppress_warnings = ["codeautolink.match_block"]  # examples whose doctest flags are not shown

html_theme = "furo"
html_title = "MadMiner"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
# Formulas are drawn by files of our own: the extension brings the program, docs/_static/katex
# the style and the fonts of the same version.
katex_css_path = "katex/katex.min.css"

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
# Classes whose members are not repeated where they are inherited.
NOT_INHERITED = (
    *("DataAnalyzer", "Module", "IterableDataset", "Enum", "dict", "str", "tuple"),
    *("BaseException", "AttributeError", "ImportError", "OSError", "BaseModel"),
)
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "inherited-members": ",".join(NOT_INHERITED),
}
# Types are shown by our names for them, not by what the names stand for.
TYPES = (
    *("ArrayLike", "BoolArray", "FloatArray", "IntArray", "Seed", "StrPath", "ThetaLike"),
    *("Bins", "DataLike", "Definitions", "EventFunction", "NuisanceResponse", "Range"),
    *("NuSpecification", "Prior", "Settings", "Specification", "ThetaSpecification"),
)
autodoc_type_aliases = {name: f"~madminer.{name}" for name in TYPES}
TypeAliasForwardRef.__repr__ = lambda self: self.name  # as Sphinx shows it inside a union
# What stands before a colon in the description of an attribute is not its type.
GoogleDocstring._consume_inline_attribute = lambda self: ("", self._dedent(self._consume_to_end()))
napoleon_google_docstring = True
napoleon_use_ivar = True
napoleon_use_rtype = False
default_role = "code"

# What packages list is public.
PACKAGES = [import_module(f"madminer.{m.name}") for m in iter_modules(madminer.__path__) if m.ispkg]
PUBLISHED = {name for package in PACKAGES for name in getattr(package, "__all__", ())}

# Objects that names in the text can mean, and what can hardly be an argument or a column:
# `ScoreEstimator`, `sample_test`, `benchmark("sm")`.
LINKED = {"class", "exception", "function", "method", "data", "module"}
NAME = re.compile(r"(?!nuisance_response$)(?=.*[A-Z_.(])(?P<path>[A-Za-z_][\w.]*)(\(.*\))?")
# Where long names in tables may be broken: between words.
BREAK = re.compile(r"(?<=[._=/])(?=[A-Za-z])|(?<=[a-z])(?=[A-Z])")
# What is typed plainly: powers, units that stay with their number, papers of the arXiv.
TYPED = re.compile(
    r"\^(?P<power>[+-]?\d+)"
    r"|(?<=\d) (?P<unit>%|[fp]b\b|[GMT]eV\b)"
    r"|(?<![\w.])(?:arXiv:)?(?P<paper>(?:0[7-9]|[12]\d)(?:0[1-9]|1[0-2])\.\d{4,5}|physics/\d{7})(?!\d)"
)


def _link(app: Sphinx, name: str, page: str, content: nodes.Node) -> nodes.Element | None:
    """A link to the one documented object that a name can mean, whatever it leaves of the path."""
    path = re.compile(r"(\w+\.)*" + r"\.(\w+\.)*".join(map(re.escape, name.split("."))))
    found = [
        entry
        for known, entry in app.env.domains.python_domain.objects.items()
        if entry.objtype in LINKED and path.fullmatch(known)
        if entry.objtype != "module" or known == name
    ]
    if len(found) != 1:
        return None
    return make_refnode(app.builder, page, found[0].docname, found[0].node_id, content, name)


def resolve_short_path(
    app: Sphinx, _env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """References by the path that users import from, which is not where objects are defined."""
    if node.get("refdomain") != "py":
        return None
    return _link(app, node["reftarget"], node["refdoc"], content)


class LinkNames(SphinxPostTransform):
    """Names of documented classes, functions and methods are links wherever they stand as code."""

    default_priority = 5

    def run(self, **_: object) -> None:
        for node in list(self.document.findall(nodes.literal)):
            name = NAME.fullmatch(node.astext())
            if name and not isinstance(node.parent, (nodes.reference, nodes.title, pending_xref)):
                reference = _link(self.app, name["path"], self.env.docname, node.deepcopy())
                node.replace_self(reference or node)


class BreakNames(SphinxPostTransform):
    """Long names in tables break between their parts, not anywhere."""

    default_priority = 6

    def run(self, **_: object) -> None:
        for entry in list(self.document.findall(nodes.entry)):
            for node in list(entry.findall(nodes.literal)):
                first, *rest = BREAK.split(node.astext())
                if rest:
                    node.children = []
                    node += nodes.Text(first)
                    for part in rest:
                        node += [nodes.raw("", "<wbr>", format="html"), nodes.Text(part)]


class Typeset(SphinxPostTransform):
    """Running text: powers are raised, units stay with their number, papers are links."""

    default_priority = 7

    def run(self, **_: object) -> None:
        for text in list(self.document.findall(nodes.Text)):
            if isinstance(text.parent, nodes.paragraph | nodes.emphasis | nodes.strong):
                parts = self.parts(text.astext())
                if len(parts) > 1 or parts[0] != text:
                    text.parent.replace(text, parts)

    @staticmethod
    def parts(text: str) -> list[nodes.Node]:
        found, end = [], 0
        for match in TYPED.finditer(text):
            found.append(nodes.Text(text[end : match.start()]))
            end = match.end()
            if power := match["power"]:
                found.append(nodes.superscript("", power.replace("-", "−")))
            elif unit := match["unit"]:
                found.append(nodes.Text(f"\u00a0{unit}"))
            else:
                url = f"https://arxiv.org/abs/{match['paper']}"
                found.append(nodes.reference("", match[0], refuri=url))
        return [*found, nodes.Text(text[end:])]


def write_notebooks(app: Sphinx) -> None:
    """Write the notebooks that the tutorials offer for download."""
    sys.path.insert(0, str(app.confdir))
    import notebooks

    notebooks.write_notebooks(Path(app.confdir) / "_build" / "notebooks", overwrite=True)


def leave_out(
    _app: Sphinx, what: str, name: str, member: object, skip: bool | None, _options: object
) -> bool | None:
    """Functions that no package publishes, beside ones that are: users do not call them."""
    if what != "module" or not isfunction(member) or name in PUBLISHED:
        return skip
    home = vars(sys.modules[member.__module__])
    beside = [home[other] for other in PUBLISHED.intersection(home)]
    return skip or any(getattr(other, "__module__", None) == member.__module__ for other in beside)


def setup(app: Sphinx) -> None:
    """Connect what links names, what sets text, and what makes notebooks."""
    app.connect("builder-inited", write_notebooks)
    app.connect("missing-reference", resolve_short_path)
    app.connect("autodoc-skip-member", leave_out)
    for transform in (LinkNames, BreakNames, Typeset):
        app.add_post_transform(transform)
