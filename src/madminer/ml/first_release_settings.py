"""Settings files of the first releases, in the words of today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from madminer.errors import FileFormatError

__all__ = ["translate_settings"]

_TYPES = {
    "local_score": "score",
    "parameterized": "parameterized_ratio",
    "doubly_parameterized": "double_parameterized_ratio",
    "nde": "likelihood",
}


def translate_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Translate the settings of an ``MLForge``; others are returned as they are.

    Args:
        settings: Settings by name, those of the first releases with a ``method_type``.

    Returns:
        Settings with an ``estimator_type``.

    Raises:
        FileFormatError: If the type is unknown.

    Examples:
        >>> translate_settings({"method": "alice2", "method_type": "doubly_parameterized"})
        {'method': 'alice2', 'estimator_type': 'double_parameterized_ratio'}
    """
    translated = dict(settings)
    if "method_type" not in settings or "estimator_type" in settings:
        return translated
    kind = translated.pop("method_type")
    if kind not in _TYPES:
        raise FileFormatError(
            f"Settings of the first releases have a method_type from {', '.join(_TYPES)}; got "
            f"{kind!r}."
        )
    translated["estimator_type"] = _TYPES[kind]
    if kind == "nde":
        translated.update(_flow_settings(settings))
    return translated


def _flow_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    is_mixture = settings.get("nde_type", "mafmog") == "mafmog"
    has_norm = settings.get("maf_batch_norm", False)
    return {
        "n_mades": settings.get("maf_n_mades", 3),
        "n_components": settings.get("maf_mog_n_components", 10) if is_mixture else 1,
        "batch_norm": settings.get("maf_batch_norm_alpha", 0.1) if has_norm else None,
    }
