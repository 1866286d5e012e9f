"""Where the checkpoints of a table lie, and whether that can identify a law (floor 1, private)."""

import numpy as np

from t2jax.errors import Refusal

__all__ = ["check_identifies", "one_count", "short", "span"]

CLOSE = np.log(1.1)
"""Spreads of log N, log D or log D/N below this count as no spread."""


def check_identifies(source: str, params: np.ndarray, tokens: np.ndarray) -> None:
    """Refuse checkpoints that cannot tell the effect of parameters from that of tokens."""
    log_params, log_tokens = np.log(params), np.log(tokens)
    if np.ptp(log_params) < CLOSE:
        raise Refusal(
            f"{source} holds one model size only ({short(params[0])} parameters)",
            remedy="add runs of at least two other sizes",
        )
    if one_count(tokens):
        raise Refusal(
            f"{source} holds one token count only ({short(tokens[0])} tokens)",
            remedy="add checkpoints of the same sizes at other token counts, or ask about size and "
            "samples at that count with law='size'",
        )
    if np.ptp(log_tokens - log_params) < CLOSE:
        raise Refusal(
            f"{source} holds {np.median(tokens / params):.3g} tokens per parameter throughout, "
            "so that the effects of parameters and tokens cannot be told apart",
            remedy="add checkpoints of the same sizes at fewer or more tokens per parameter",
        )
    centred = np.stack([log_params - log_params.mean(), log_tokens - log_tokens.mean()], axis=1)
    across = centred @ np.linalg.svd(centred, full_matrices=False)[2][1]
    if np.ptp(across) < CLOSE:
        raise Refusal(
            f"{source} holds one token count for each size, along a single line in log N, log D, "
            "so that the effects of parameters and tokens cannot be told apart",
            remedy="add checkpoints of the same sizes at other token counts",
        )


def one_count(tokens: np.ndarray) -> bool:
    """Whether all have seen as many tokens, so that nothing is known of other counts."""
    return bool(np.ptp(np.log(tokens)) < CLOSE)


def short(value: float) -> str:
    """A count for people.

    >>> short(2560), short(233472), short(1.4e9)
    ('2.56k', '233k', '1.4B')
    """
    for power, letter in ((12, "T"), (9, "B"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:.3g}{letter}"
    return f"{value:.3g}"


def span(values: np.ndarray) -> str:
    """The range of some counts, for people."""
    low, high = short(values.min()), short(values.max())
    return low if low == high else f"{low} to {high}"
