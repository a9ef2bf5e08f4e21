"""``python -m capkernel``: the same as the ``capkernel`` command."""

from capkernel.cli import main

if __name__ == "__main__":
    main()
