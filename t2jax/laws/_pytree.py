"""Frozen dataclasses as pytrees."""

import dataclasses

import jax

__all__ = ["as_pytree"]


def as_pytree(cls):
    """Make a class a frozen keyword-only dataclass whose fields are the leaves of a pytree."""
    cls = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    names = tuple(field.name for field in dataclasses.fields(cls))
    keys = tuple(jax.tree_util.GetAttrKey(name) for name in names)

    def leaves(made):
        return tuple(getattr(made, name) for name in names), None

    def leaves_with_keys(made):
        return tuple(zip(keys, leaves(made)[0], strict=True)), None

    def build(_, values):
        return cls(**dict(zip(names, values, strict=True)))

    # Not `register_dataclass`: structures of two dataclasses with as many fields compare equal
    # there (jaxlib 0.10.2), and a program compiled for one law would serve another.
    jax.tree_util.register_pytree_with_keys(cls, leaves_with_keys, build, leaves)
    return cls
