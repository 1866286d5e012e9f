"""Compiled programs are kept in the user's cache folder, so that a second run need not compile.

JAX reads the two variables when it is imported; a place that the user chose is left alone.
"""

import hashlib
import os
import sys
import warnings

from t2jax._cache import bound, cache_folder, keep_programs_in, processor, version

__all__ = ["keep_programs", "programs"]

_PLACE, _LEAST = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def keep_programs() -> None:
    """Have programs kept, by JAX too unless it is imported already or the user said otherwise."""
    place = cache_folder(programs())
    keep_programs_in(place)
    if place is None:
        return
    bound(place.parent)  # JAX itself puts no limit to it, nor takes away those of older versions
    if _PLACE in os.environ or "jax" in sys.modules:
        return
    # A full disk or an entry that was cut by one costs a compilation, and is no one's business.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation")
    os.environ[_PLACE] = str(place)
    os.environ.setdefault(_LEAST, "0")  # a plan has hundreds of small programs


def programs() -> str:
    """The folder of the programs of this JAX on this processor.

    A home shared by several machines has one for each kind.
    """
    kind = hashlib.sha256(processor().encode()).hexdigest()[:8]
    return f"jaxlib-{version('jaxlib')}-{kind}"
