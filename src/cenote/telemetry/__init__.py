"""Exporters of the figures to systems that watch."""
