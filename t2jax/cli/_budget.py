"""Budgets on the command line and from a TOML file: flags override the file."""

import dataclasses
import pathlib
import tomllib
from typing import Annotated, Any, ClassVar

from t2jax._bounds import check_kind
from t2jax._numeral import numeral
from t2jax.cli._flags import typed
from t2jax.cli._options import arg
from t2jax.errors import InputError

__all__ = ["BudgetOptions", "read_toml", "sweep"]

_COST = (
    "prompt_tokens", "shared_prefill", "train_context", "batch", "verifier_flops", "fixed",
    "dollars_per_hour", "train_utilisation", "prefill_utilisation", "decode_utilisation",
    "memory_utilisation",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriceOptions:
    """What training and samples cost; 6ND and 2Nk unless something is given."""

    TITLE: ClassVar[str] = "cost"

    realistic_inference: Annotated[
        bool, arg("count prompts, attention and memory traffic, and say what that changes")
    ] = False
    stop_at_success: Annotated[
        bool, arg("sampling stops at the first verified success (accuracy laws)")
    ] = False
    hardware: Annotated[str, arg("a100, h100, h200, tpu-v5e or tpu-v5p", "NAME")] = ""
    dollars_per_hour: Annotated[str, arg("price of one accelerator and hour", "DOLLARS")] = ""
    train_utilisation: Annotated[str, arg("share of peak FLOPs in training", "SHARE")] = ""
    prefill_utilisation: Annotated[str, arg("share of peak FLOPs in prefill", "SHARE")] = ""
    decode_utilisation: Annotated[str, arg("share of peak FLOPs in decoding", "SHARE")] = ""
    memory_utilisation: Annotated[str, arg("share of peak bandwidth", "SHARE")] = ""
    prompt_tokens: Annotated[str, arg("tokens of a question", "TOKENS")] = ""
    shared_prefill: Annotated[str, arg("share of the prompt's work that samples share", "S")] = ""
    train_context: Annotated[str, arg("sequence length in training", "TOKENS")] = ""
    batch: Annotated[str, arg("samples decoded together", "COUNT")] = ""
    verifier_flops: Annotated[str, arg("of judging one sample", "FLOPS")] = ""
    fixed: Annotated[str, arg("spent whatever is planned, in the budget's unit", "COST")] = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BudgetOptions(PriceOptions):
    """What may be spent or must be reached; numbers as 1e21, 300B or 2.5T."""

    TITLE: ClassVar[str] = "budget"

    train_flops: Annotated[str, arg("training compute, 6ND", "FLOPS")] = ""
    inference_flops: Annotated[
        str, arg("inference compute per generated token of a question, 2Nk", "FLOPS")
    ] = ""
    total_flops: Annotated[str, arg("training and serving together", "FLOPS")] = ""
    dollars: Annotated[str, arg("training and serving together", "DOLLARS")] = ""
    target_loss: Annotated[str, arg("reach this loss at least cost", "NATS")] = ""
    target_pass_at_k: Annotated[str, arg("reach this mean pass@k at least cost", "SHARE")] = ""
    questions: Annotated[str, arg("answered over the model's life", "COUNT")] = ""
    questions_factor: Annotated[
        str, arg("nine times in ten they are within this factor", "FACTOR")
    ] = ""
    tokens_per_sample: Annotated[str, arg("generated tokens of one sample", "T")] = ""
    inference_tokens: Annotated[
        str, arg("instead of questions: tokens served over the model's life at k = 1", "TOKENS")
    ] = ""
    min_params: Annotated[str, arg("smallest size considered", "N")] = ""
    max_params: Annotated[str, arg("cap on parameters", "N")] = ""
    max_tokens: Annotated[str, arg("cap on training tokens: the data wall", "D")] = ""
    unique_tokens: Annotated[
        str, arg("distinct training tokens; past them they repeat and count for less", "U")
    ] = ""
    integer_samples: Annotated[bool, arg("k is a whole number")] = False
    budget: Annotated[str, arg("TOML file with any of these; flags override it", "FILE")] = ""

    def description(self) -> dict[str, Any]:
        """The file's table with the flags laid over it, as `Budget.from_dict` takes it.

        Raises:
          InputError: the file cannot be read, or a flag is no number.
        """
        values = self.from_file()
        cost = _table(values.pop("cost", {}), "cost")
        # A budget named on the command line replaces the file's, not joins it.
        from t2jax.planning.budget import GOALS

        if any(getattr(self, name) for name in GOALS):
            values = {name: value for name, value in values.items() if name not in GOALS}
        for field in dataclasses.fields(BudgetOptions):
            text = getattr(self, field.name)
            if text == "" and field.name in typed(self):
                # A variable of the shell that was never set must not plan for some other budget.
                raise InputError(f"--{field.name.replace('_', '-')} is empty",
                                 remedy="give it a value, or leave it out")  # fmt: skip
            if isinstance(text, str) and text and field.name not in ("hardware", "budget"):
                (cost if field.name in _COST else values)[field.name] = _number(text, field.name)
        if self.hardware:
            cost["hardware"] = self.hardware
        if self.realistic_inference:
            cost["realistic"] = True
        elif "dollars_per_hour" in cost:
            cost.setdefault("realistic", False)
        elif "hardware" in cost and "realistic" not in cost:
            raise InputError("--hardware alone changes nothing",
                             remedy="give --dollars-per-hour or --realistic-inference")  # fmt: skip
        if self.stop_at_success:
            cost["stop_at_success"] = True
        if self.integer_samples:
            values["integer_samples"] = True
        for name, text in list(values.items()):
            if isinstance(text, str):
                values[name] = _number(text, name)
        return {**values, **({"cost": cost} if cost else {})}

    def from_file(self) -> dict[str, Any]:
        """What the file says of the budget.

        Raises:
          InputError: it cannot be read.
        """
        return read_toml(self.budget) if self.budget else {}

    def one(self, problem: str) -> dict[str, Any]:
        """The description of one budget.

        Raises:
          InputError: a sweep, which is a problem here.
        """
        found = self.description()
        if any(isinstance(value, list) for value in found.values()):
            raise InputError(problem, remedy="give numbers, or sweep with `t2jax frontier`")
        return found


_LARGEST = 1 << 16  # bytes; nested tables take the square of their number


def read_toml(path: str) -> dict[str, Any]:
    """The table of a TOML file; a table `[budget]` is taken where there is one.

    Raises:
      InputError: it cannot be read, with the line where it is no TOML.
    """
    try:
        check_kind(pathlib.Path(path))
        with open(path, "rb") as file:
            raw = file.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            raise InputError(f"is larger than {_LARGEST} bytes", source=path,
                             remedy="a budget takes a few lines")  # fmt: skip
        found = tomllib.loads(raw.decode("utf-8"))
    except InputError:
        raise  # a ValueError too
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", source=path,
                         remedy="name a TOML file with a budget") from error  # fmt: skip
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no TOML ({error})", source=path,
                         remedy="e.g. a line: train_flops = 1e22") from error  # fmt: skip
    inner = _table(found.pop("budget", {}), "budget")
    return {**found, **inner}


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"the file's '{name}' is {value!r} and no table",
                         remedy=f"begin one with a line [{name}]")  # fmt: skip
    return dict(value)


def _number(text: Any, name: str) -> Any:
    """One number, or the numbers of LOW:HIGH:COUNT; anything but text stays as it is."""
    if not isinstance(text, str):
        return text
    flag = f"--{name.replace('_', '-')}"
    if ":" in text:
        return sweep(text, flag)
    found = numeral(text)
    if found is None:
        raise InputError(f"{flag} '{text}' is not a number", remedy=f"e.g. {flag} 1e18 or 300B")
    return found


def sweep(text: str, flag: str = "--train-flops") -> list[float]:
    """Budgets at equal steps in logs.

    Raises:
      InputError: not of the form low:high:count.

    >>> [round(flops) for flops in sweep("1e2:1e4:3")]
    [100, 1000, 10000]
    """
    import math

    found = [numeral(word) or 0.0 for word in text.split(":")]
    low, high, count = found if len(found) == 3 else (0.0, 0.0, 0.0)
    if not (0 < low < high < math.inf and 2 <= count <= 10_000 and count.is_integer()):
        raise InputError(f"{flag} '{text}' is no sweep", remedy=f"e.g. {flag} 1e16:1e21:64")
    ratio, steps = high / low, int(count)
    return [low * ratio ** (i / (steps - 1)) for i in range(steps)]
