"""Weights, cross sections and weighted events at any parameter point."""

from __future__ import annotations

from madminer.analysis.dataanalyzer import DataAnalyzer

__all__ = ["DataAnalyzer"]
