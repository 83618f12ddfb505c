"""``madminer validate``: whether an estimator can be trusted, from events it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from madminer.io.atomic import prepare_target, refuse_same_file

if TYPE_CHECKING:  # networks would slow down the other commands
    from madminer.validation import Validation

FAILED, UNDECIDED = 1, 3
"""Exit statuses; 2 is that of a wrong command line."""

Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="Estimator or ensemble, as its save() wrote it.")
]
Events = Annotated[
    Path,
    typer.Argument(
        metavar="EVENTS",
        help="Event file; its test events, which no training saw, must belong to the same setup "
        "and observables.",
    ),
]
Reference = Annotated[
    str | None,
    typer.Option(
        metavar="POINT",
        help="Where scores were trained, and the denominator of ratios: the name of a benchmark, "
        "or numbers such as 0,0.",
        show_default="that of the training, which score estimators know",
    ),
]
Theta = Annotated[
    list[str] | None,
    typer.Option(
        metavar="POINT",
        help="Where ratios are tested, once for each point: name or numbers. Choose the ends of "
        "the region in which you set limits.",
        show_default="1.5 standard deviations of the training along each parameter",
    ),
]
Partition = Annotated[
    str,
    typer.Option(
        metavar="PART", help="Which events: test, validation, train, or all of another file."
    ),
]
Html = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a page with all figures here.")
]
Json = Annotated[Path | None, typer.Option(metavar="FILE", help="Write all numbers here.")]
NoClassifier = Annotated[
    bool,
    typer.Option(
        "--no-classifier", help="Train no classifier to tell reweighted from true events."
    ),
]


def validate(
    model: Model,
    events: Events,
    reference: Reference = None,
    theta: Theta = None,
    partition: Partition = "test",
    html: Html = None,
    json: Json = None,
    no_classifier: NoClassifier = False,
) -> None:
    """Find out whether the scores or likelihood ratios of a trained model can be trusted.

    The simulator knows the joint score and ratio of each test event. Their means tell whether the
    model is calibrated, where it is wrong, and which information is guaranteed.

    Example  madminer validate models/sally events.h5
             madminer validate models/alices events.h5 --reference sm --html a.html
    Status   0 if all checks passed; 1 if one failed, or after an error; 3 if
             none failed, but there are not enough events to tell for some
    """
    for target in filter(None, (html, json)):
        refuse_same_file(target, events, "event file")
        prepare_target(target)
    # imported here: networks would slow down the other commands
    from madminer.validation import validate as validate_estimator

    result = validate_estimator(
        model,
        events,
        None if reference is None else _point(reference),
        [_point(text) for text in theta] if theta else None,
        partition=partition,
        classifier=not no_classifier,
    )
    _show(result)
    if html is not None:
        result.write_html(html)
    if json is not None:
        result.write_json(json)
    if not result.passed:
        raise typer.Exit(FAILED if result.failed else UNDECIDED)


def _point(text: str) -> str | list[float]:
    """Numbers separated by commas, else the name of a benchmark.

    Examples:
        >>> _point("0.5,-1"), _point("sm")
        ([0.5, -1.0], 'sm')
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return text


def _show(result: Validation) -> None:
    console = Console()
    console.print(result)
    console.print(Text(result.conclusion))
