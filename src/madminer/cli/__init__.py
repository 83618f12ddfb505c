"""The command line: one file a group of commands, and what they have in common."""

from __future__ import annotations
