"""Stores: where entries live."""
