"""Sizes and training tokens of public models, as their authors state them, with the source."""

import dataclasses

__all__ = ["PublicModel", "public_models"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublicModel:
    """One dense public model.

    Attributes:
      name: as published.
      params: parameters N, embeddings included, to the digits that are stated.
      tokens: tokens of pre-training D, repeated ones counted again.
      source: where both are stated.
    """

    name: str
    params: float
    tokens: float
    source: str

    @property
    def tokens_per_param(self) -> float:
        """D/N."""
        return self.tokens / self.params

    @property
    def train_flops(self) -> float:
        """6ND."""
        return 6.0 * self.params * self.tokens


def _model(name: str, params: float, tokens: float, source: str) -> PublicModel:
    return PublicModel(name=name, params=params, tokens=tokens, source=source)


_LLAMA_3 = "arXiv:2407.21783"
_STATED = (
    _model("GPT-3 175B", 175e9, 300e9, "arXiv:2005.14165, table 2.1"),
    _model("Chinchilla 70B", 70e9, 1.4e12, "arXiv:2203.15556, abstract"),
    _model("Pythia 6.9B", 6_857_302_016, 299_892_736_000, "arXiv:2304.01373; model card"),
    _model("Llama 3 8B", 8e9, 15e12, f"{_LLAMA_3}; model card: over 15T tokens"),
    _model("Llama 3 70B", 70e9, 15e12, f"{_LLAMA_3}; model card: over 15T tokens"),
    _model("Llama 3 405B", 405e9, 15.6e12, f"{_LLAMA_3}, section 1"),
    _model("Gemma 2 9B", 9.24e9, 8e12, "arXiv:2408.00118; distilled"),
    _model("Qwen2.5 7B", 7.61e9, 18e12, "arXiv:2412.15115; model card"),
    _model("SmolLM2 1.7B", 1.7e9, 11e12, "arXiv:2502.02737, abstract"),
    _model("OLMo 2 7B", 7.3e9, 4e12, "arXiv:2501.00656; model card"),
)


def public_models() -> tuple[PublicModel, ...]:
    """Public models to set an optimum beside: what was trained, not what was best.

    >>> [m.name for m in public_models() if m.tokens_per_param < 21]
    ['GPT-3 175B', 'Chinchilla 70B']
    """
    return _STATED
