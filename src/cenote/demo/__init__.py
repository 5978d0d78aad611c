"""A demonstration: three services at work on the sources of Python's own library."""

__all__: list[str] = []
