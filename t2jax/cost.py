"""What training and sampling cost (floor 0): 6ND and 2Nk, and what they leave out.

Every room counts compute through this file. `Cost()` is exactly 6ND and 2Nk; its fields add
prompts, attention, memory traffic, verifiers and prices.
"""

import dataclasses
import math
import sys
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from t2jax._numeral import numerals
from t2jax._typing import ArrayLike
from t2jax.errors import InputError

__all__ = ["HARDWARE", "INFERENCE_FLOPS", "TRAIN_FLOPS", "Cost", "Hardware", "inference_flops",
           "train_flops"]  # fmt: skip

TRAIN_FLOPS = 6.0
"""Training FLOPs per parameter and token (arXiv:2001.08361)."""

INFERENCE_FLOPS = 2.0
"""Inference FLOPs per parameter, token and sample."""

ATTENTION = 2.0 * (128.0 / 12.0) ** (2.0 / 3.0) / 128.0
"""Attention FLOPs per `N^(2/3)` and pair of tokens: `N = 12 layers width^2`, width 128 layers."""

KV_BYTES = 114_688.0
"""Bytes of key-value cache per token of Qwen3-0.6B: 28 layers, 8 heads of 128, 2 bytes each."""

KV_PARAMS = 0.6e9
"""The size that `KV_BYTES` belongs to."""

KV_EXPONENT = math.log(64 / 28) / math.log(32.8e9 / 0.6e9)
"""Growth of the cache with N from Qwen3-0.6B to Qwen3-32B (64 layers, the same eight heads)."""


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hardware:
    """An accelerator as its maker describes it.

    Attributes:
      name: as people say it.
      flops: peak dense bf16, FLOPs per second.
      bandwidth: of its memory, bytes per second.
      source: where the two numbers stand.
    """

    name: str
    flops: float
    bandwidth: float
    source: str

    @property
    def intensity(self) -> float:
        """FLOPs that take as long as reading one byte."""
        return self.flops / self.bandwidth


HARDWARE = {
    "a100": Hardware(name="A100 SXM 80 GB", flops=312e12, bandwidth=2.039e12,
                     source="NVIDIA A100 Tensor Core GPU datasheet"),
    "h100": Hardware(name="H100 SXM", flops=989.4e12, bandwidth=3.35e12,
                     source="NVIDIA H100 Tensor Core GPU datasheet, half of the sparse figure"),
    "h200": Hardware(name="H200 SXM", flops=989.4e12, bandwidth=4.8e12,
                     source="NVIDIA H200 Tensor Core GPU datasheet, half of the sparse figure"),
    "tpu-v5e": Hardware(name="TPU v5e", flops=197e12, bandwidth=0.819e12,
                        source="docs.cloud.google.com/tpu/docs/v5e"),
    "tpu-v5p": Hardware(name="TPU v5p", flops=459e12, bandwidth=2.765e12,
                        source="docs.cloud.google.com/tpu/docs/v5p"),
}  # fmt: skip
"""Accelerators by the name that `Cost.on` and `--hardware` take. Prices move: give your own."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Cost:
    """What a training token and a sample cost, in FLOPs or in dollars.

    `train = p_train (6 N + 3 c_a N^(2/3) L_train) D`
    `answer = p_prefill u [1 + (k - 1)(1 - share)] + kbar {p_decode [2 N L_out
    + c_a N^(2/3) (2 L_in L_out + L_out^2)] + p_mem [c_kv (N/N_kv)^e (2 L_in L_out + L_out^2)/2
    + w N L_out/batch] + p_decode c_verify}`, with the prompt's work `u = 2 N L_in
    + c_a N^(2/3) L_in^2`, and `kbar = k`, or `E[min(T, k)]` with `stop_at_success`.

    The default is exactly `6 N D` and, per generated token, `2 N k`.

    Args:
      prompt_tokens: L_in, tokens of a question.
      answer_tokens: L_out, tokens of one sample; a budget's `tokens_per_sample` overrides it.
      shared_prefill: share of the prompt's work that the k samples of a question share.
      train_context: L_train, sequence length in training; 0 leaves its attention out.
      attention: c_a, attention FLOPs per `N^(2/3)` and pair of tokens.
      kv_bytes: c_kv, bytes of cache per token of a model of 0.6e9 parameters.
      kv_exponent: e, growth of the cache with N.
      weight_bytes: w, bytes per parameter that a decoding step reads.
      batch: samples decoded together, which share those reads.
      verifier_flops: c_verify, of judging one sample.
      train_price: p_train, per FLOP.
      prefill_price: p_prefill, per FLOP.
      decode_price: p_decode, per FLOP.
      memory_price: p_mem, per byte.
      fixed: spent whatever is planned, in `unit`.
      stop_at_success: sampling stops at the first verified success (accuracy laws only).
      unit: "FLOPs" or "dollars".

    Raises:
      InputError: a field that is no number in its range.

    Source: Sardana et al. 2024, arXiv:2401.00448 (utilisations); Sadhukhan et al. 2025,
    arXiv:2506.05333 (attention and memory traffic as FLOPs).

    >>> cost = Cost()
    >>> float(cost.train(1e9, 20e9)), float(cost.answer(1e9, 4.0))
    (1.2e+20, 8000000000.0)
    """

    prompt_tokens: ArrayLike = 0.0
    answer_tokens: ArrayLike = 1.0
    shared_prefill: ArrayLike = 1.0
    train_context: ArrayLike = 0.0
    attention: ArrayLike = 0.0
    kv_bytes: ArrayLike = 0.0
    kv_exponent: ArrayLike = KV_EXPONENT
    weight_bytes: ArrayLike = 0.0
    batch: ArrayLike = 1.0
    verifier_flops: ArrayLike = 0.0
    train_price: ArrayLike = 1.0
    prefill_price: ArrayLike = 1.0
    decode_price: ArrayLike = 1.0
    memory_price: ArrayLike = 0.0
    fixed: ArrayLike = 0.0
    stop_at_success: bool = dataclasses.field(default=False, metadata={"static": True})
    unit: str = dataclasses.field(default="FLOPs", metadata={"static": True})

    def __post_init__(self):
        for name in self.numbers():
            value = getattr(self, name)
            if isinstance(value, jax.Array) or type(value) is object or value is None:
                continue  # inside a transformation a leaf may be anything
            if not isinstance(value, int | float | np.ndarray | np.generic):
                raise InputError(f"cost: {name} = {value!r} is not a number", remedy="e.g. 1.0")
            low = 0.0 if name not in _POSITIVE else np.nextafter(0.0, 1.0)
            high = 1.0 if name == "shared_prefill" else np.inf
            huge = isinstance(value, int) and value.bit_length() > 1023  # is no float
            array = np.asarray(np.inf if huge else value, float)
            if not np.all((array >= low) & (array <= high) & np.isfinite(array)):
                bounds = "positive" if low else "between 0 and 1" if high == 1 else "zero or more"
                raise InputError(
                    f"cost: {name} = {array!s} is out of range", remedy=f"it is {bounds}"
                )
        if self.unit not in ("FLOPs", "dollars"):
            raise InputError(f"cost: no unit '{self.unit}'", remedy="use 'FLOPs' or 'dollars'")

    @classmethod
    def numbers(cls) -> tuple[str, ...]:
        """Names of the numeric fields."""
        return tuple(f.name for f in dataclasses.fields(cls) if not f.metadata.get("static"))

    @classmethod
    def realistic(cls, hardware: str = "h100", **fields: Any) -> Self:
        """Attention, prompts and memory traffic counted, all in FLOPs.

        A byte read counts as the FLOPs that the accelerator does meanwhile. A prompt of 512
        tokens, samples of 1,024, decoded 256 at a time, weights and cache of two bytes.

        Args:
          hardware: a name of `HARDWARE`.
          fields: replace any of the above.

        Raises:
          InputError: unknown hardware or field.

        >>> cost = Cost.realistic()
        >>> ratio = cost.answer(0.6e9, 1.0) / (2 * 0.6e9 * 1024)
        >>> bool(ratio > 10)  # a small model reads far more than it multiplies
        True
        """
        values: dict[str, Any] = {
            "prompt_tokens": 512.0, "answer_tokens": 1024.0, "train_context": 4096.0,
            "attention": ATTENTION, "kv_bytes": KV_BYTES, "weight_bytes": 2.0, "batch": 256.0,
            "memory_price": find_hardware(hardware).intensity,
        }  # fmt: skip
        return cls(**{**values, **fields})

    @classmethod
    def on(
        cls,
        hardware: str,
        *,
        dollars_per_hour: float,
        train_utilisation: float = 0.4,
        prefill_utilisation: float = 0.4,
        decode_utilisation: float = 0.4,
        memory_utilisation: float = 0.7,
        realistic: bool = True,
        **fields: Any,
    ) -> Self:
        """The cost in dollars on one kind of accelerator.

        `p = dollars per second / (peak x utilisation)`, apart for training, prefill, decoding
        and memory.

        Args:
          hardware: a name of `HARDWARE`.
          dollars_per_hour: of one accelerator.
          train_utilisation: share of peak FLOPs in training.
          prefill_utilisation: share of peak FLOPs in prefill.
          decode_utilisation: share of peak FLOPs in decoding, memory traffic aside.
          memory_utilisation: share of peak bandwidth.
          realistic: count prompts, attention and memory as `realistic` does; else 6ND and 2Nk.
          fields: replace any field of `Cost`.

        Raises:
          InputError: unknown hardware, a price or a utilisation out of range.

        >>> cost = Cost.on("h100", dollars_per_hour=2.0, realistic=False)
        >>> round(float(cost.train(7e9, 2e12)))  # dollars
        117917
        """
        chip = find_hardware(hardware)
        shares = {"train": train_utilisation, "prefill": prefill_utilisation,
                  "decode": decode_utilisation, "memory": memory_utilisation}  # fmt: skip
        for name, share in shares.items():
            if not 0 < share <= 1:
                raise InputError(f"cost: {name}_utilisation = {share!r} is no share of the peak",
                                 remedy="give a number above 0 and at most 1")  # fmt: skip
        # Compared, since an integer beyond all floats cannot be asked whether it is finite.
        if not 0 < dollars_per_hour < math.inf or dollars_per_hour > sys.float_info.max:
            raise InputError(f"cost: dollars_per_hour = {dollars_per_hour!r} is not positive",
                             remedy="give the price of one accelerator and hour")  # fmt: skip
        second = dollars_per_hour / 3600.0
        peak = {"memory": chip.bandwidth}
        prices = {f"{n}_price": second / (peak.get(n, chip.flops) * s) for n, s in shares.items()}
        base = cls.realistic(hardware) if realistic else cls()
        return dataclasses.replace(base, **{"unit": "dollars", **prices, **fields})

    def plain(self) -> "Cost":
        """The same prices on 6ND and 2Nk alone: what a realistic answer is compared with."""
        kept = ("answer_tokens", "train_price", "prefill_price", "decode_price", "fixed", "unit")
        return Cost(**{name: getattr(self, name) for name in kept})

    @property
    def monomial(self) -> bool:
        """Whether costs are proportional to N D and N k, so that closed forms apply."""
        none = ("prompt_tokens", "verifier_flops")
        powers = ("train_context", "answer_tokens")
        flat = all(np.all(np.asarray(getattr(self, name)) == 0) for name in none)
        attends = np.any(np.asarray(self.attention) != 0) and any(
            np.any(np.asarray(getattr(self, name)) != 0) for name in powers
        )
        caches = np.any(np.asarray(self.kv_bytes) * np.asarray(self.memory_price) != 0)
        return bool(flat and not attends and not caches and not self.stop_at_success)

    # The rates below are per parameter, so that logs never see a zero: rate = cost / N.

    def train_rate(self, n: ArrayLike) -> Any:
        """Cost of one training token divided by N, at log N."""
        attention = 3.0 * self.attention * _exp(-n / 3.0) * self.train_context
        return self.train_price * (TRAIN_FLOPS + attention)

    def prompt_rate(self, n: ArrayLike) -> Any:
        """Cost of one prompt's prefill divided by N, at log N."""
        attention = self.attention * _exp(-n / 3.0) * self.prompt_tokens**2
        return self.prefill_price * (INFERENCE_FLOPS * self.prompt_tokens + attention)

    def shared_rate(self, n: ArrayLike) -> Any:
        """Cost of what all samples of a question share, divided by N."""
        return self.shared_prefill * self.prompt_rate(n)

    def sample_rate(self, n: ArrayLike) -> Any:
        """Cost of one more sample, divided by N."""
        length = self.answer_tokens
        pairs = 2.0 * self.prompt_tokens * length + length**2
        work = INFERENCE_FLOPS * length + self.attention * _exp(-n / 3.0) * pairs
        work = work + self.verifier_flops * _exp(-n)
        size = _exp(self.kv_exponent * (n - math.log(KV_PARAMS)) - n)
        reads = self.kv_bytes * size * pairs / 2.0 + self.weight_bytes * length / self.batch
        alone = (1.0 - self.shared_prefill) * self.prompt_rate(n)
        return alone + self.decode_price * work + self.memory_price * reads

    def train(self, params: ArrayLike, tokens: ArrayLike) -> np.ndarray:
        """Cost of training, in `unit`; double precision.

        >>> float(Cost().train(1e9, 20e9))
        1.2e+20
        """
        params = np.asarray(params, float)
        return self.train_rate(np.log(params)) * params * np.asarray(tokens, float)

    def answer(self, params: ArrayLike, samples: ArrayLike) -> np.ndarray:
        """Cost of one question with k samples drawn, in `unit`; `2 N k` by default.

        >>> float(Cost(answer_tokens=100.0).answer(1e9, 4.0))
        800000000000.0
        """
        params = np.asarray(params, float)
        n = np.log(params)
        each = np.asarray(samples, float) * self.sample_rate(n)
        return params * (self.shared_rate(n) + each)

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Self:
        """A cost from plain values.

        With `dollars_per_hour` it is `Cost.on` the named `hardware`; with `realistic = true` or
        `hardware` alone `Cost.realistic`; else the fields as they are.

        Raises:
          InputError: a name that belongs to none of them.

        >>> Cost.from_dict({"realistic": True, "prompt_tokens": 2048}).prompt_tokens
        2048
        """
        values = dict(description)
        hardware, realistic = values.pop("hardware", None), values.pop("realistic", None)
        fields = {field.name for field in dataclasses.fields(cls)}
        shares = {f"{name}_utilisation" for name in ("train", "prefill", "decode", "memory")}
        priced = "dollars_per_hour" in values
        known = fields | (shares | {"dollars_per_hour"} if priced else set())
        for name in values:
            if name not in known:
                remedy = f"it has hardware, realistic, dollars_per_hour, {', '.join(sorted(known))}"
                remedy = "it goes with dollars_per_hour" if name in shares else remedy
                raise InputError(f"a cost has no '{name}'", remedy=remedy)
        values = {name: numerals(value) for name, value in values.items()}
        if priced:
            whole = True if realistic is None else bool(realistic)
            return cls.on(hardware or "h100", realistic=whole, **values)
        if realistic or (hardware and realistic is None):
            return cls.realistic(hardware or "h100", **values)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        out: dict[str, Any] = {
            name: np.asarray(getattr(self, name)).tolist() for name in self.numbers()
        }
        return out | {"stop_at_success": self.stop_at_success, "unit": self.unit}


def _exp(x: ArrayLike) -> Any:
    """`exp`, in NumPy's double precision unless a JAX array is at hand."""
    return jnp.exp(x) if isinstance(x, jax.Array) else np.exp(x)


_POSITIVE = ("answer_tokens", "batch", "train_price", "decode_price")


def find_hardware(name: str) -> Hardware:
    """An accelerator by name.

    Raises:
      InputError: none of that name; the known ones are listed.
    """
    if str(name).lower() not in HARDWARE:
        raise InputError(f"no hardware '{name}'", remedy=f"one of {', '.join(HARDWARE)}, or write "
                         "Cost(...) with your own prices")  # fmt: skip
    return HARDWARE[str(name).lower()]
