"""Documented homes of names whose code lives in other packages."""

from __future__ import annotations

__all__: list[str] = []
