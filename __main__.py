"""`python -m crawl2chat` is the command `crawl2chat`: what a submitted Ray job starts."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
