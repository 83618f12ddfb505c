"""Names of the first releases of MadMiner: deprecated, each calls what replaces it.

The methods split the file into halves for training and testing, without validation, and draw from
the events of all benchmarks, as they did then; they return neither signs nor the effective number
of samples.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any, ParamSpec

from madminer.deprecation import former_name, install, renamed
from madminer.sampling.parameters import (
    ThetaSpecification,
    benchmark,
    benchmarks,
    morphing_point,
    morphing_points,
    random_morphing_points,
)
from madminer.sampling.sampleaugmenter import SampleAugmenter
from madminer.typing import FloatArray

P = ParamSpec("P")

_POSITIONAL, _KEYWORD = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
_OPTIONS = {"folder": None, "filename": None, "test_split": 0.5, "switch_train_test_events": False}


def _point(name: str, new: Callable[P, ThetaSpecification]) -> Callable[P, ThetaSpecification]:
    """An old name of a function that describes parameter points."""
    old = former_name(name, new, f"madminer.sampling.{new.__name__}")
    old.__module__ = __name__
    return old


constant_benchmark_theta = _point("constant_benchmark_theta", benchmark)
multiple_benchmark_thetas = _point("multiple_benchmark_thetas", benchmarks)
constant_morphing_theta = _point("constant_morphing_theta", morphing_point)
multiple_morphing_thetas = _point("multiple_morphing_thetas", morphing_points)
random_morphing_thetas = _point("random_morphing_thetas", random_morphing_points)


def _method(
    name: str, new: str, thetas: str, n_returned: int, **options: object
) -> Callable[..., tuple[FloatArray | None, ...]]:
    """An old method of `SampleAugmenter` that draws samples.

    Args:
        name: Its name.
        new: What it is called now.
        thetas: Names of its parameter points.
        n_returned: How many of the arrays that are now returned it returned.
        options: Keyword arguments that it passes on, with their defaults.
    """
    signature = Signature(
        [
            *(Parameter(one, _POSITIONAL) for one in ("self", *thetas.split(), "n_samples")),
            *(Parameter(one, _POSITIONAL, default=value) for one, value in _OPTIONS.items()),
            *(Parameter(one, _KEYWORD, default=value) for one, value in options.items()),
            Parameter("seed", _KEYWORD, default=None),
        ]
    )

    def extract(*args: Any, **kwargs: Any) -> tuple[FloatArray | None, ...]:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        arguments = dict(given.arguments)
        augmenter = arguments.pop("self")
        is_test = (new == "sample_test") != bool(arguments.pop("switch_train_test_events"))
        sample: tuple[FloatArray | None, ...] = getattr(augmenter, new)(
            **arguments,
            partition="test" if is_test else "train",
            validation_split=None,
            sample_only_from_closest_benchmark=False,
        )
        return sample[:n_returned]

    extract.__name__ = extract.__qualname__ = name
    extract.__doc__ = f"""Deprecated name of `SampleAugmenter.{new}`.

    Half of the events are for testing, and those for training the others; with
    `switch_train_test_events` the other way round. Returns the first {n_returned} arrays.
    """
    extract.__signature__ = signature  # type: ignore[attr-defined]
    return renamed(f"SampleAugmenter.{new}")(extract)


_SCORE: dict[str, Any] = {"nuisance_score": False}

install(
    SampleAugmenter,
    [
        _method("extract_samples_train_plain", "sample_train_plain", "theta", 2),
        _method("extract_samples_train_local", "sample_train_local", "theta", 3, **_SCORE),
        _method("extract_samples_train_global", "sample_train_density", "theta", 3, **_SCORE),
        _method("extract_samples_train_ratio", "sample_train_ratio", "theta0 theta1", 6, **_SCORE),
        _method(
            *("extract_samples_train_more_ratios", "sample_train_more_ratios", "theta0 theta1", 7),
            additional_thetas=None,
            **_SCORE,
        ),
        _method("extract_samples_test", "sample_test", "theta", 2),
        former_name(
            "extract_cross_sections",
            SampleAugmenter.cross_sections,
            "SampleAugmenter.cross_sections",
            parameters="self theta * seed",
        ),
        former_name(
            "extract_raw_data",
            SampleAugmenter.weighted_events,
            "weighted_events",
            parameters="self theta derivative",
        ),
    ],
)
