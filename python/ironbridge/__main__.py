"""The command line: ``ironbridge`` and ``python -m ironbridge``."""

import sys

from ironbridge import _native


def main() -> None:
    """Run the command line and exit with its code.

    Raises:
        SystemExit: Always. Code 0 when all is well, 2 for a mistake in the options, 3 when the application does not
            load.
    """
    sys.exit(_native.main(sys.argv[1:]))


if __name__ == "__main__":
    main()
