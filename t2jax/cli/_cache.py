"""Compiled programs are kept in the user's cache folder, so that a second run need not compile.

JAX reads the two variables when it is imported; a place that the user chose is left alone, and
`T2JAX_CACHE=off` keeps nothing.
"""

import hashlib
import os
import pathlib
import platform
import sys
import warnings
from importlib import metadata

__all__ = ["folder", "keep_programs"]

_PLACE, _LEAST = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
_CPU = pathlib.Path("/proc/cpuinfo")


def keep_programs() -> None:
    """Have JAX keep its programs, unless it is imported already or the user said otherwise."""
    if os.environ.get("T2JAX_CACHE", "").lower() == "off" or _PLACE in os.environ:
        return
    if "jax" in sys.modules:
        return
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return  # without a home there is nothing to keep
    # A full disk or an entry that was cut by one costs a compilation, and is no one's business.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation")
    if os.access(place, os.W_OK):
        os.environ[_PLACE] = str(place)
        os.environ.setdefault(_LEAST, "0")  # a plan has hundreds of small programs


def folder() -> pathlib.Path:
    """Where the programs of this JAX on this processor are kept.

    A program may use instructions that another processor lacks, so that a home shared by several
    machines has a folder for each kind.
    """
    made_for = f"{platform.system()} {platform.machine()} {_features()}"
    kind = hashlib.sha256(made_for.encode()).hexdigest()[:8]
    return _home() / "t2jax" / f"jaxlib-{metadata.version('jaxlib')}-{kind}"


def _home() -> pathlib.Path:
    """The folder for what may be deleted at any time, by the custom of the system."""
    if os.environ.get("XDG_CACHE_HOME"):
        return pathlib.Path(os.environ["XDG_CACHE_HOME"])
    home = pathlib.Path(os.path.expanduser("~"))
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    if sys.platform == "win32":
        return pathlib.Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    return home / ".cache"


def _features() -> str:
    """The processor's instructions, where the system lists them."""
    try:
        lines = _CPU.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
