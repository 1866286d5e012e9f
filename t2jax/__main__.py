"""`python -m t2jax`: the same as the command `t2jax`."""

import sys

from t2jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
