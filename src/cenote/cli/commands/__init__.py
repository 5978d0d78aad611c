"""The commands, one noun a file."""

__all__: list[str] = []
