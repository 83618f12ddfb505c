"""Shared options: one home, shown everywhere."""

from __future__ import annotations

import inspect
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, TypedDict, Unpack

import pytest

from madminer.fisherinformation.options import InformationKeywords, InformationOptions
from madminer.ml.options import TrainingKeywords, TrainingOptions
from madminer.options import takes
from madminer.sampling.options import SamplingKeywords, SamplingOptions


@dataclass(frozen=True)
class Options:
    """Options of a test.

    Args:
        folder: Where to save; described
            on two lines.
        partition: Part of the events.
        seed: Source of randomness.
    """

    folder: str | None = None
    partition: str = "train"
    _: KW_ONLY
    seed: int | None = None


class Keywords(TypedDict, total=False):
    folder: str | None
    partition: str
    seed: int | None


class Sampler:
    @takes(Options, after={"individually": "folder"})
    def sample(
        self, theta: float, *, individually: bool = False, w: int = 1, **options: Unpack[Keywords]
    ) -> Any:
        """Draw.

        Args:
            theta: Parameter point.
            individually: Each alone.
            w: Weight.

        Returns:
            What was given.

        Raises:
            ValueError: Never.
        """
        return theta, individually, w, Options(**options)


@takes(Options, without=("seed",), defaults={"partition": "test"})
def plain(**options: Unpack[Keywords]) -> Options:
    """Without arguments of its own.

    Returns:
        The options.
    """
    return Options(**options)


@pytest.mark.parametrize(
    ("options", "keywords"),
    [
        (SamplingOptions, SamplingKeywords),
        (TrainingOptions, TrainingKeywords),
        (InformationOptions, InformationKeywords),
    ],
)
def test_keywords_are_the_fields(options: Any, keywords: Any) -> None:
    types = {field.name: field.type for field in fields(options)}
    assert {k: v.__forward_arg__ for k, v in keywords.__annotations__.items()} == types


def test_signature_has_the_documented_order() -> None:
    found = inspect.signature(Sampler.sample).parameters
    assert list(found) == ["self", "theta", "folder", "individually", "partition", "w", "seed"]
    keyword_only = {p.name for p in found.values() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert keyword_only == {"w", "seed"}
    assert found["partition"].default == "train"
    assert str(inspect.signature(plain)).startswith(
        "(folder: 'str | None' = None, partition: 'str' = 'test')"
    )


def test_arguments_arrive() -> None:
    assert Sampler().sample(0.5) == (0.5, False, 1, Options())
    by_position = Sampler().sample(0.5, "here", True, "test", w=2, seed=3)  # type: ignore[misc]
    assert by_position == (0.5, True, 2, Options("here", "test", seed=3))
    assert plain("there") == Options("there", "test")  # type: ignore[misc]
    assert plain(partition="train") == Options()
    with pytest.raises(TypeError, match=r"Sampler\.sample\(\) .* argument 'sed'"):
        Sampler().sample(0.5, sed=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'seed'"):
        plain(seed=1)
    with pytest.raises(TypeError, match="missing a required argument: 'theta'"):
        Sampler().sample()  # type: ignore[call-arg]


def test_help_describes_every_argument_once() -> None:
    assert inspect.getdoc(Sampler.sample) == (
        "Draw.\n\nArgs:\n    theta: Parameter point.\n    folder: Where to save; described\n"
        "        on two lines.\n    individually: Each alone.\n    partition: Part of the events.\n"
        "    w: Weight.\n    seed: Source of randomness.\n\nReturns:\n    What was given.\n\n"
        "Raises:\n    ValueError: Never."
    )
    assert inspect.getdoc(plain) == (
        "Without arguments of its own.\n\nArgs:\n    folder: Where to save; described\n"
        "        on two lines.\n    partition: Part of the events.\n\nReturns:\n    The options."
    )
