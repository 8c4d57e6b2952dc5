"""`python -m __package_name__`: run the project; works wherever the package is installed."""

import sys

from __package_name__ import main

if __name__ == "__main__":
    sys.exit(main())
