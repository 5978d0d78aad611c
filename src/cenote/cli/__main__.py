"""``python -m cenote.cli``: the ``cenote`` command where no script is installed."""

from cenote.cli import main

if __name__ == "__main__":
    main()
