"""Array aliases shared by every room (floor 0)."""

from jaxtyping import Array, Bool, Float, Int
from numpy import ndarray

__all__ = ["Array", "ArrayLike", "Bool", "Float", "Floats", "Int", "Ints", "Scalar"]

ArrayLike = Array | ndarray | float | int
"""What a law accepts: anything that broadcasts."""

Floats = Float[Array, "..."]
"""Floating-point JAX array of any shape."""

Ints = Int[Array, "..."]
"""Integer JAX array of any shape."""

Scalar = Float[Array, ""]
"""Floating-point JAX scalar."""
