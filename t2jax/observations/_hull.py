"""Where the checkpoints of a table lie, and whether that can identify a law (floor 1, private)."""

import numpy as np

from t2jax import _text
from t2jax.errors import Refusal

__all__ = ["check_identifies", "one_count", "span"]

CLOSE = np.log(1.1)
"""Spreads of log N, log D or log D/N below this count as no spread."""


def check_identifies(source: str, params: np.ndarray, tokens: np.ndarray) -> None:
    """Refuse checkpoints that cannot tell the effect of parameters from that of tokens."""
    log_params, log_tokens = np.log(params), np.log(tokens)
    if np.ptp(log_params) < CLOSE:
        raise Refusal(
            f"{source} holds one model size only ({_text.count(params[0])} parameters)",
            remedy="add runs of at least two other sizes",
        )
    if one_count(tokens):
        raise Refusal(
            f"{source} holds one token count only ({_text.count(tokens[0])} tokens)",
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


def span(values: np.ndarray) -> str:
    """The range of some counts, for people."""
    low, high = _text.count(values.min()), _text.count(values.max())
    return low if low == high else f"{low} to {high}"
