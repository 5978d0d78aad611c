"""``python -m cenote`` is the ``cenote`` command."""

from cenote.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
