"""Which column of a table is which of ours (floor 1, private).

Nothing is renamed by guess: a column that is not there under our name, or under the name
given in `columns`, is an error that suggests the likely one.
"""

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Mapping

from t2jax._numeral import numerals
from t2jax.errors import InputError
from t2jax.observations._cells import show
from t2jax.observations._table import Table

__all__ = ["Naming", "name_columns", "read_columns", "read_units"]

LABELS = ("run", "trunk", "task", "question", "params_definition")
NUMBERS = ("params", "tokens", "unique_tokens", "samples", "loss", "nll", "successes", "trials")
MEASURES = ("loss", "nll")  # in nats

_CHECKPOINT = ("run", "params", "tokens")
_REQUIRED = {
    "manifest": ("run", "tokens"),
    "loss": (*_CHECKPOINT, "loss"),
    "nll": (*_CHECKPOINT, "question", "nll"),
    "wide": _CHECKPOINT,
    "counts": (*_CHECKPOINT, "question", "successes", "trials"),
}
_OPTIONAL = {
    "manifest": ("params", "trunk", "unique_tokens", "params_definition"),
    "loss": ("trunk", "unique_tokens", "samples", "params_definition"),
    "nll": ("trunk", "unique_tokens", "task", "params_definition"),
    "wide": ("trunk", "unique_tokens", "task", "params_definition"),
    "counts": ("trunk", "unique_tokens", "task", "params_definition"),
}
_TABLES = {"loss": "a loss table", "manifest": "a table of runs"}
# Other people's names for our columns, the likeliest first.
_ALIASES = {
    "run": "run_name run_id model ckpt checkpoint model_name name exp experiment size id row",
    "trunk": "trajectory",
    "params": "n_params num_params nparams n parameters n_parameters num_parameters params_total "
    "total_params n_params_total model_size non_embedding_params size",
    "tokens": "d_tokens n_tokens num_tokens ntokens d train_tokens training_tokens tokens_seen",
    "unique_tokens": "unique_d unique n_unique_tokens",
    "samples": "k n_samples num_samples",
    "loss": "val_loss loss_val validation_loss test_loss eval_loss final_loss lm_loss train_loss "
    "nll_mean mean_nll nll bpb cross_entropy smooth_loss c4_loss",
    "task": "benchmark dataset subject task_name",
    "question": "problem_idx problem_id problem question_id question_idx qid q item item_id doc_id "
    "example example_id prompt_id instance_id",
    "nll": "gold_nll answer_nll neg_log_likelihood nll_sum sum_nll loss",
    "successes": "n_correct num_correct correct n_successes num_successes passes n_passed c",
    "trials": "n_samples num_samples n_trials num_trials total attempts n_attempts n",
}
_COUNTS_PARAMS = re.compile(r"(^|_)(n_?params?|params|parameters|n_active|n_total)(_|$)")
_SHOWN = 12
_NO_LOSS = (
    "a law is fitted to losses, or for each question to 'nll' or to 'successes' and 'trials': "
    "mean accuracies fit none"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Naming:
    """What will be read from where.

    Args:
      kind: "loss", "nll" or "counts".
      theirs: our name -> the table's name, for every column that will be read.
      wide: names of the columns that hold one question each, or none.
      ignored: columns of the table that no one asked for.
      ask: where no column is called "run" but one may be it, the error that asks.
      perhaps: that column.
    """

    kind: str
    theirs: Mapping[str, str]
    wide: tuple[str, ...]
    ignored: tuple[str, ...]
    ask: InputError | None = None
    perhaps: str = ""


def name_columns(
    table: Table, columns: Mapping[str, str], *, by_task: bool = False, form: str = ""
) -> Naming:
    """Decide the kind of a table and where its columns are.

    Args:
      table: a table whose header is known.
      columns: our name -> the table's name, as the user gave them.
      by_task: whether a loss table's task column is wanted too.
      form: "manifest" for a table of runs without measurements; else decided by the columns.
    """
    header = table.header
    for ours, theirs in columns.items():
        if theirs not in header:
            swapped = f"; write {theirs}={ours}" if theirs in (*LABELS, *NUMBERS) else ""
            raise table.error(
                f"no column {show(theirs)} to read as '{ours}'",
                remedy=f"the table has {_listed(header)}{swapped}",
            )
    found = {name: name for name in (*LABELS, *NUMBERS) if name in header} | dict(columns)
    wide = tuple(name for name in header if re.fullmatch(r"q\d+", name))
    form = form or _form(table, found, wide, set(columns))
    missing = [name for name in _REQUIRED[form] if name not in found]
    if form == "loss" and "loss" in missing and "nll" in found and "nll" not in columns:
        del found["nll"]  # of a checkpoint, not of a question
    ask = _missing(table, missing, found) if missing else None
    if ask and (missing != ["run"] or form == "manifest"):
        raise ask
    optional = (*_OPTIONAL[form], *(("task",) if by_task and form == "loss" else ()))
    wanted = [name for name in (*_REQUIRED[form], *optional) if name in found]
    unused = columns.keys() - set(wanted)
    if unused:
        raise table.error(
            f"'{min(unused)}' means nothing in {_TABLES.get(form, 'a question table')}",
            column=columns[min(unused)],
            remedy="take it out of --columns",
        )
    theirs = {name: found[name] for name in wanted}
    wide = wide if form == "wide" else ()
    used = [*theirs.values(), *wide]
    for name in used:
        table.place(name)
    numbers = [theirs[name] for name in NUMBERS if name in theirs]
    for name in numbers:
        if numbers.count(name) > 1:
            raise table.error(
                "one column cannot be two numbers", column=name, remedy="correct --columns"
            )
    taken = set(used)
    ignored = tuple(name for name in header if name not in taken)
    kind = "nll" if form == "wide" else form
    perhaps = _likely(table, missing, found).get("run", "")
    return Naming(kind=kind, theirs=theirs, wide=wide, ignored=ignored, ask=ask, perhaps=perhaps)


def _form(table: Table, found: Mapping[str, str], wide: tuple[str, ...], explicit: set[str]) -> str:
    """The form of the table: "loss", "nll", "wide" or "counts"."""
    counts = {"successes", "trials"}
    if "loss" in explicit:
        return "loss"
    if "nll" in explicit:
        return "nll"
    if counts & explicit:
        return "counts"
    # Without `samples`, which goes by the same names as `trials`.
    names = [name for name in (*LABELS, *NUMBERS) if name != "samples"]
    likely = found.keys() | _likely(table, names, found)
    if "question" in found:
        if "nll" in found and counts <= found.keys():
            raise table.error(
                "holds both 'nll' and 'successes', 'trials' for each question",
                remedy="say which to read, with --columns nll=nll or --columns successes=successes",
            )
        return "counts" if counts & found.keys() or not {"nll"} & likely else "nll"
    if wide:
        return "wide"
    if "loss" in found or "question" not in likely:
        return "loss"
    if counts <= likely:
        return "counts"
    return "nll" if "nll" in likely else "loss"


def _missing(table: Table, missing: list[str], found: Mapping[str, str]) -> InputError:
    """Name what is not there, and the columns that it probably is."""
    likely = _likely(table, missing, found)
    likely |= _misspelt(table, [name for name in missing if name not in likely],
                        {*found.values(), *likely.values()})  # fmt: skip
    sizes = _sizes(table, found) if "params" in missing else []
    if len(sizes) > 1:
        # Embedding, head and inactive experts make N mean several things: never chosen by guess.
        likely["params"] = sizes[0]
    size = found.get("params") or likely.get("params")
    if size and "run" in likely and not _names_models(table, likely["run"], size):
        del likely["run"]
    if "run" not in likely and missing != ["run"]:
        missing = [name for name in missing if name != "run"]  # runs are named without a column
    plural = "columns" if len(missing) > 1 else "column"
    problem = f"no {plural} {', '.join(repr(name) for name in missing)}"
    numeric = [name for name in table.header if re.fullmatch(r"[-+]?\.?\d[\d.eE+-]*", name)]
    if 2 * len(numeric) >= len(table.header):
        return table.error(
            f"{problem}: the header holds numbers", remedy="add a first line with column names"
        )
    unknown = [name for name in missing if name not in likely]
    advice = []
    if likely:
        pairs = ",".join(f"{ours}={likely[ours]}" for ours in missing if ours in likely)
        sure = "if this is it" if len(likely) == 1 else "if these are they"
        if len(sizes) > 1:
            sure = f"say which of {_listed(sizes)} is N; for the first"
        bits = [f" --units {ours}=bits" for ours in MEASURES if in_bits(likely.get(ours, ""))]
        advice.append(f"{sure}, pass --columns {pairs}{''.join(bits)}")
    if unknown:
        named = ", ".join(repr(name) for name in unknown)
        advice.append(f"add {named} or say with --columns which of {_listed(table.header)} it is")
    if "loss" in unknown and len(unknown) == 1:
        advice.append(_NO_LOSS)
    return table.error(problem, remedy="; ".join(advice))


def _names_models(table: Table, run: str, params: str) -> bool:
    """Whether what a column names has one number of parameters each, as a run does."""
    labels = dict(table.names([run, params]))
    if not {run, params} <= labels.keys():
        return False
    runs, sizes = labels[run].codes, labels[params].codes
    return len({*zip(runs.tolist(), sizes.tolist(), strict=True)}) == len({*runs.tolist()})


def _likely(table: Table, names: Iterable[str], found: Mapping[str, str]) -> dict[str, str]:
    """Our name -> the free column that probably holds it."""
    free = {_plain(name): name for name in reversed(table.header) if name not in found.values()}
    likely: dict[str, str] = {}
    for ours in names:
        if ours in found:
            continue
        for alias in (ours, *_ALIASES.get(ours, "").split()):
            if alias in free and free[alias] not in likely.values():
                likely[ours] = free[alias]
                break
    return likely


def _misspelt(table: Table, names: Iterable[str], used: set[str]) -> dict[str, str]:
    """Our name -> the one free column whose name is nearly it."""
    free = {_plain(name): name for name in table.header if name not in used}
    near: dict[str, str] = {}
    for ours in names:
        # What counts parameters of a kind is never chosen by guess.
        other = [name for name in free if not (ours == "params" and name.startswith(ours))]
        close = difflib.get_close_matches(ours, other, cutoff=0.8)
        if len(close) == 1:
            near[ours] = free[close[0]]
    return near


def _sizes(table: Table, found: Mapping[str, str]) -> list[str]:
    """Free columns that count parameters in one way or another."""
    return [
        name
        for name in table.header
        if name not in found.values()
        and re.search(
            r"(^|_)(n_?params?|num_params|params|parameters|n_active|n_total)(_|$)", _plain(name)
        )
    ]


def in_bits(name: str) -> bool:
    """Whether a column's name says that it counts bits, such as those per byte of text.

    >>> in_bits("bpb"), in_bits("val_bits_per_byte"), in_bits("valBits"), in_bits("rabbits")
    (True, True, True, False)
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return re.search(r"(^|_)(bpb|bits?)(_|$)", _plain(words)) is not None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _listed(names: Iterable[str]) -> str:
    """Column names for a message."""
    shown = [show(name) for name in names]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def read_columns(columns: Mapping[str, str] | str | None) -> dict[str, str]:
    """The user's column names, from a mapping or "params=n_params,tokens=d_tokens"."""
    pairs = _pairs(columns, "columns", "run=model,params=n_params")
    known = (*LABELS, *NUMBERS)
    for ours, theirs in pairs.items():
        if ours not in known:
            hint = f": write {theirs}={ours}" if theirs in known else ""
            raise InputError(
                f"columns names {show(ours)}, which is not one of ours",
                remedy=f"put our name first{hint}; ours are {', '.join(known)}",
            )
    return pairs


def read_units(units: Mapping[str, float] | str | None) -> dict[str, float]:
    """The user's units, from a mapping or "tokens=1e9,params=1e6"; "bits" are made nats."""
    pairs = _pairs(units, "units", "tokens=1e9")
    factors: dict[str, float] = {}
    for name, text in pairs.items():
        if name not in NUMBERS:
            raise InputError(
                f"units names {show(name)}, which is no number column of ours",
                remedy=f"ours are {', '.join(NUMBERS)}",
            )
        try:
            of_bits = name in MEASURES and text in ("bit", "bits")
            factors[name] = math.log(2) if of_bits else float(numerals(text))
        except (TypeError, ValueError, OverflowError):
            factors[name] = math.nan
        if not (0 < factors[name] < math.inf):
            raise InputError(
                f"the unit of '{name}' is {show(text)}, not a positive number",
                remedy="write for instance --units tokens=1e9",
            )
    return factors


def _pairs(given: Mapping | str | None, what: str, example: str) -> dict:
    """A mapping from a mapping or from "a=b,c=d"."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(name): value for name, value in given.items()}
    pairs: dict[str, str] = {}
    if not isinstance(given, str):
        problem = f"{what} is a {type(given).__name__}"
        raise InputError(problem, remedy=f'give a mapping or a string such as "{example}"')
    for part in given.split(","):
        name, sign, value = (piece.strip() for piece in part.partition("="))
        if not (name and sign and value) or name in pairs:
            problem = f"cannot read {show(part)} in {what} {show(given)}"
            raise InputError(problem, remedy=f'write each name once, such as "{example}"')
        pairs[name] = value
    return pairs
