"""How many parameters a model has and how many FLOPs a token costs, exactly.

"N" has several meanings, and exponents of scaling laws move with the choice: all are recorded.
"""

import dataclasses

from t2jax.trainer.config import ModelConfig

__all__ = ["Counts", "counts", "forward_flops", "train_flops"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
    """Parameters of a model by kind.

    Attributes:
      matrices: weight matrices of the blocks, `n_layers (4 + 2 r) d^2`.
      head: the unembedding, `d V`.
      embedding: the embedding, `V d`; looked up, never multiplied.
      norms: gains of the normalisations, `n_layers (2 d + 2 h) + d`.
    """

    matrices: int
    head: int
    embedding: int
    norms: int

    @property
    def params(self) -> int:
        """N of this library, matrices and head: what 6ND and 2Nk count."""
        return self.matrices + self.head

    @property
    def non_embedding(self) -> int:
        """All but embedding and unembedding, arXiv:2001.08361."""
        return self.matrices + self.norms

    @property
    def total(self) -> int:
        """Every number that training changes."""
        return self.matrices + self.head + self.embedding + self.norms


def counts(config: ModelConfig) -> Counts:
    """Parameters of a model by kind.

    >>> counts(ModelConfig(d_model=8))
    Counts(matrices=1536, head=1024, embedding=1024, norms=72)
    >>> counts(ModelConfig(d_model=8)).params
    2560
    """
    width, layers = config.d_model, config.n_layers
    return Counts(
        matrices=layers * (4 + 2 * config.mlp_ratio) * width**2,
        head=width * config.vocab_size,
        embedding=config.vocab_size * width,
        norms=layers * (2 * width + 2 * config.head_width) + width,
    )


def forward_flops(config: ModelConfig, seq_len: int | None = None, *, causal: bool = False) -> int:
    """FLOPs of a forward pass, per token of a row: its matrix products and nothing else.

    `2 N + 4 n_layers T d`

    The first term is N multiplications and additions, the second the scores and the weighted sum
    of attention over the whole square of T x T places, which is what the program computes. Left
    out are normalisation, rotation, softmax, activation, the lookup of embeddings and the loss.

    Args:
      config: shape of the model.
      seq_len: places T of a row; None takes that of the config.
      causal: count the visible half of the square only, `2 n_layers (T + 1) d`: the useful
        work, by which a utilisation is stated honestly.

    >>> forward_flops(ModelConfig(d_model=8), seq_len=64)
    9216
    """
    length = config.seq_len if seq_len is None else seq_len
    attention = 2 * (length + 1) if causal else 4 * length
    return 2 * config.params + attention * config.n_layers * config.d_model


def train_flops(config: ModelConfig, seq_len: int | None = None, *, causal: bool = False) -> int:
    """FLOPs of a training step, per token of a row: three times those of the forward pass.

    Every matrix product has two in the backward pass, one for each factor. The optimiser, whose
    work does not grow with the batch, is left out.

    Args:
      config: shape of the model.
      seq_len: places of a row; None takes that of the config.
      causal: count the visible half of attention only.

    >>> train_flops(ModelConfig(d_model=8), seq_len=64)
    27648
    """
    return 3 * forward_flops(config, seq_len, causal=causal)
