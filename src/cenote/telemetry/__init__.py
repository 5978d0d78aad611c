"""Exporters of the figures to systems that watch."""

from __future__ import annotations

__all__: list[str] = []
