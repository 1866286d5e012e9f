"""What training and sampling cost (floor 0): 6ND and 2Nk.

Every room counts compute through these two functions, so that a more detailed cost has one
place to go.
"""

from t2jax._typing import ArrayLike

__all__ = ["INFERENCE_FLOPS", "TRAIN_FLOPS", "inference_flops", "train_flops"]

TRAIN_FLOPS = 6.0
"""Training FLOPs per parameter and token (arXiv:2001.08361)."""

INFERENCE_FLOPS = 2.0
"""Inference FLOPs per parameter, token and sample."""


def train_flops(params: ArrayLike, tokens: ArrayLike) -> ArrayLike:
    """Training compute, `6 N D` FLOPs.

    >>> train_flops(1e9, 20e9)
    1.2e+20
    """
    return TRAIN_FLOPS * params * tokens


def inference_flops(params: ArrayLike, samples: ArrayLike) -> ArrayLike:
    """Inference compute per generated token of one question, `2 N k` FLOPs.

    >>> inference_flops(1e9, 4.0)
    8000000000.0
    """
    return INFERENCE_FLOPS * params * samples
