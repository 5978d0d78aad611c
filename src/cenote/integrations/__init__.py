"""Cenote inside other frameworks."""

from __future__ import annotations

__all__: list[str] = []
