"""Cenote inside other frameworks."""
