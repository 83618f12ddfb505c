"""Validation: what the joint scores and ratios of test events say about an estimator."""

from __future__ import annotations

from madminer.validation.events import ValidationEvents
from madminer.validation.result import Graph, Series, Validation, ValidationCheck
from madminer.validation.validate import validate

__all__ = ["Graph", "Series", "Validation", "ValidationCheck", "ValidationEvents", "validate"]
