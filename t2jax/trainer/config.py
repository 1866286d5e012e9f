"""What is trained, in two frozen dataclasses: one comment per field, no other description.

The rules that fill a field left at None (learning rate, batch, warm-up) are functions here too,
so that a plan, a run and its record agree on them.
"""

import dataclasses
import math
import numbers

from t2jax.errors import InputError

__all__ = [
    "LEAST_STEPS",
    "ModelConfig",
    "TrainConfig",
    "default_batch_tokens",
    "default_learning_rate",
    "default_warmup_tokens",
]

_DTYPES = ("float32", "bfloat16")
_SCHEDULES = ("wsd", "cosine", "linear")
_BUDGETS = ("tokens", "train_flops", "tokens_per_param")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of a decoder.

    >>> ModelConfig(d_model=32).n_heads
    2
    """

    d_model: int  # width of the residual stream
    n_layers: int = 2  # blocks of attention and MLP
    head_dim: int = 16  # width of one attention head, at most d_model; even, for RoPE
    mlp_ratio: int = 4  # hidden width of the MLP over d_model
    vocab_size: int = 128  # rows of the embedding and of the untied unembedding
    seq_len: int = 64  # tokens of a packed training row
    rope_theta: float = 10_000.0  # base of the rotary frequencies
    compute_dtype: str = "float32"  # of activations and matrix products; state is float32

    def __post_init__(self):
        for name in ("d_model", "n_layers", "head_dim", "mlp_ratio", "vocab_size", "seq_len"):
            value = getattr(self, name)
            whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
            if not whole or not 1 <= int(value) < 2**31:
                raise InputError(
                    f"{name} is {value}", remedy="give a whole number of at least 1, below 2^31"
                )
        if not isinstance(self.rope_theta, numbers.Real) or not 0 < self.rope_theta < math.inf:
            raise InputError(f"rope_theta is {self.rope_theta}", remedy="give a number above 0")
        if self.head_width % 2 or self.d_model % self.head_width:
            raise InputError(
                f"d_model {self.d_model} does not split into heads of even width {self.head_width}",
                remedy=f"use a d_model that is a multiple of {self.head_dim}, or another head_dim",
            )
        if self.compute_dtype not in _DTYPES:
            raise InputError(
                f"compute_dtype is '{self.compute_dtype}'", remedy=f"use {' or '.join(_DTYPES)}"
            )

    @property
    def head_width(self) -> int:
        """Width of a head once it is capped by the model's own width."""
        return min(self.head_dim, self.d_model)

    @property
    def n_heads(self) -> int:
        """Attention heads of a block."""
        return self.d_model // self.head_width

    @property
    def params(self) -> int:
        """N: weight matrices and unembedding, for which 6ND and 2Nk count the FLOPs.

        `n_layers (4 d^2 + 2 r d^2) + d V`

        >>> ModelConfig(d_model=8).params
        2560
        """
        block = (4 + 2 * self.mlp_ratio) * self.d_model**2
        return self.n_layers * block + self.d_model * self.vocab_size


LEAST_STEPS = 2000
"""Steps of the shortest run below which the batch is made smaller."""


def default_learning_rate(model: ModelConfig) -> float:
    """Peak learning rate of AdamW: `min(0.35 / d_model, 0.03)`.

    >>> default_learning_rate(ModelConfig(d_model=32))
    0.0109375
    """
    return min(0.35 / model.d_model, 0.03)


def default_batch_tokens(model: ModelConfig, shortest: float = math.inf) -> float:
    """Loss tokens of a step: `min(max(512 * 160 * (N / 108e6)^(2/3), 256), shortest / 2000)`.

    The best batch grows with the length of training, not with the model alone. A larger one at
    few tokens makes large models look worse, and overtraining better, than they are: see
    `experiments/11_rules`.

    Args:
      model: shape of the model.
      shortest: tokens of the shortest run that shares this batch.

    >>> round(default_batch_tokens(ModelConfig(d_model=32)))
    338
    >>> default_batch_tokens(ModelConfig(d_model=32), shortest=200_000)
    100.0
    """
    by_size = 512 * 160 * (model.params / 108e6) ** (2 / 3)
    return min(max(by_size, 256.0), shortest / LEAST_STEPS)


def default_warmup_tokens(model: ModelConfig, shortest: float) -> float:
    """Loss tokens over which the rate rises: `min(N, 5% of the shortest run)`.

    Args:
      model: shape of the model.
      shortest: tokens of the shortest run that shares this warm-up: a longer one would leave
        that run undertrained.

    >>> default_warmup_tokens(ModelConfig(d_model=8), shortest=20_000)
    1000.0
    """
    return min(float(model.params), 0.05 * shortest)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a decoder is trained. Give exactly one of tokens, train_flops and tokens_per_param.

    >>> TrainConfig(model=ModelConfig(d_model=8), tokens_per_param=20).target_tokens
    51200.0
    """

    model: ModelConfig  # the shape of the decoder
    seed: int = 0  # of the initial parameters; the order of the data belongs to the source
    tokens: float | None = None  # D, loss tokens to train on
    train_flops: float | None = None  # D by its cost, 6 N D
    tokens_per_param: float | None = None  # D by its ratio to N
    batch_rows: int | None = None  # rows of a step; from default_batch_tokens where None
    learning_rate: float | None = None  # at the peak; default_learning_rate where None
    warmup_tokens: float | None = None  # of the linear rise; default_warmup_tokens where None
    schedule: str = "wsd"  # behind the rise: wsd (constant, then linear to 0), cosine or linear
    cooldown: float = 0.2  # share of the steps in which wsd decays
    weight_decay: float = 1e-4  # per unit of learning rate, on matrices and head only
    beta1: float = 0.9  # memory of the gradient's mean
    beta2: float = 0.95  # memory of the gradient's square
    clip: float = 1.0  # norm to which a larger gradient is cut
    z_loss: float = 1e-4  # weight of the squared log normaliser
    remat: bool = False  # blocks are computed again for the gradient: less memory, more work
    accumulate: int = 1  # parts of a batch whose gradients are added one after another
    chunk: int = 16  # steps of one call of the compiled program
    answers_only: bool = False  # count loss on answers only (SFT)
    data: int = 1  # devices among which rows are divided, each with all of the state
    fsdp: int = 1  # devices among which rows and state are divided

    def __post_init__(self):
        given = [name for name in _BUDGETS if getattr(self, name) is not None]
        if len(given) != 1:
            raise InputError(
                f"the length of training is given by {' and '.join(given) or 'nothing'}",
                remedy=f"give one of {', '.join(_BUDGETS)}",
            )
        positive = (*given, "batch_rows", "learning_rate", "clip", "accumulate", "chunk")
        for name in (*positive, "data", "fsdp"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise InputError(f"{name} is {value}", remedy="give a number above 0")
        for name in ("warmup_tokens", "weight_decay", "z_loss"):
            value = getattr(self, name)
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise InputError(f"{name} is {value}", remedy="give a number of at least 0")
        if self.warmup_tokens is not None and self.warmup_tokens > self.target_tokens:
            raise InputError(
                f"warmup_tokens is {self.warmup_tokens:g}, longer than the run of "
                f"{self.target_tokens:g} tokens",
                remedy="shorten it, or leave it to the rule",
            )
        for name in ("beta1", "beta2", "cooldown"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(
                    f"{name} is {getattr(self, name)}", remedy="give a number in [0, 1)"
                )
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed is {self.seed}", remedy="give a whole number in [0, 2^31)")
        if self.schedule not in _SCHEDULES:
            raise InputError(
                f"schedule is '{self.schedule}'", remedy=f"use {', '.join(_SCHEDULES)}"
            )
        parts = self.accumulate * self.devices
        if self.batch_rows is not None and self.batch_rows % parts:
            raise InputError(
                f"batch_rows {self.batch_rows} does not divide into {self.devices} devices "
                f"times {self.accumulate} parts",
                remedy=f"use a multiple of {parts}",
            )

    @property
    def devices(self) -> int:
        """Devices that the run is spread over."""
        return self.data * self.fsdp

    @property
    def target_tokens(self) -> float:
        """D: loss tokens to train on, whichever way they were given."""
        if self.tokens is not None:
            return float(self.tokens)
        if self.train_flops is not None:
            return float(self.train_flops) / (6 * self.model.params)
        assert self.tokens_per_param is not None
        return float(self.tokens_per_param * self.model.params)

    def filled(self, tokens_per_row: float) -> "TrainConfig":
        """The same run with every rule worked out: no batch, rate or warm-up is None.

        Args:
          tokens_per_row: mean loss tokens of a row of the source.
        """
        parts = self.accumulate * self.devices
        tokens = default_batch_tokens(self.model, self.target_tokens)
        ruled = parts * max(1, round(tokens / tokens_per_row / parts))
        rate, warmup = self.learning_rate, self.warmup_tokens
        return dataclasses.replace(
            self,
            batch_rows=ruled if self.batch_rows is None else self.batch_rows,
            learning_rate=default_learning_rate(self.model) if rate is None else rate,
            warmup_tokens=(
                default_warmup_tokens(self.model, self.target_tokens) if warmup is None else warmup
            ),
        )

    def steps(self, tokens_per_row: float) -> int:
        """Steps after which the target is reached, on average rows.

        Args:
          tokens_per_row: mean loss tokens of a row of the source.
        """
        rows = self.filled(tokens_per_row).batch_rows
        assert rows is not None
        return max(1, math.ceil(self.target_tokens / (rows * tokens_per_row)))
