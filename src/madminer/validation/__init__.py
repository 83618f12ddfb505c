"""Validation: what the joint scores and ratios of test events say about an estimator."""

from __future__ import annotations

from madminer.evidence import Graph, Series, ValidationCheck
from madminer.validation.events import ValidationEvents
from madminer.validation.result import Validation
from madminer.validation.validate import validate

__all__ = ["Graph", "Series", "Validation", "ValidationCheck", "ValidationEvents", "validate"]
