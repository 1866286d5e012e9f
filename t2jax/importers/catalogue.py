"""Public ladders: params and tokens of a checkpoint, read off its name and revision (floor 1).

Parameters are computed from the shapes that the authors state, so that every definition of N is
exact; tokens are steps times the tokens of a batch, or what the authors name. A name that does
not fix its tokens is nobody's checkpoint here, and nothing is guessed.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence

from t2jax.errors import InputError
from t2jax.observations import UNSTATED

__all__ = ["LADDERS", "Checkpoint", "Ladder", "check", "find"]

TOTAL, NO_INPUT, NO_EMBEDDING = "total", "without input embedding", "non-embedding"
DEFINITIONS = (TOTAL, NO_INPUT, NO_EMBEDDING)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One checkpoint of a training run.

    Attributes:
      run: its name.
      params: parameters N, NaN where a table of runs does not say.
      tokens: training tokens D.
      trunk: the trajectory that it lies on, or None.
      unique_tokens: tokens of text before repetition, or None.
    """

    run: str
    params: float
    tokens: float
    trunk: str | None = None
    unique_tokens: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ladder:
    """A public family of models.

    Attributes:
      source: where shapes, batches and revisions are stated.
      definition: what N counts unless another is asked for, which is what the authors fit.
      parse: name -> (run, trunk, body, embedding, tokens), or None where it is no checkpoint of
        this ladder; `body` is N without embedding and head, `embedding` the size of either.
    """

    source: str
    definition: str
    parse: Callable[[str], "_Found | None"]


@dataclasses.dataclass(frozen=True)
class _Found:
    run: str
    trunk: str
    body: int
    embedding: int
    tokens: float


def check(name: str, definition: str = UNSTATED) -> None:
    """Refuse a catalogue or a definition of N that is not known.

    Raises:
      InputError: it is not.
    """
    if name not in LADDERS:
        raise InputError(f"no catalogue '{name}'", remedy=f"use one of {', '.join(LADDERS)}")
    if definition not in (UNSTATED, *DEFINITIONS):
        raise InputError(
            f"the catalogue does not count N as '{definition}'",
            remedy=f"use one of {', '.join(repr(one) for one in DEFINITIONS)}",
        )


def find(name: str, models: Sequence[str], definition: str = UNSTATED) -> Checkpoint | None:
    """The checkpoint that one of a model's names stands for.

    Args:
      name: of the catalogue.
      models: the names, such as "EleutherAI/pythia-70m@step1000"; the revision follows an @.
      definition: what N counts: "total", "without input embedding" or "non-embedding"; by
        default what the ladder's authors fit.

    Returns:
      The checkpoint, or None where no name fixes one.

    Raises:
      InputError: there is no such catalogue or definition.

    >>> find("pythia", ["EleutherAI/pythia-70m-deduped@step1000"]).tokens
    2097152000.0
    >>> find("pythia", ["my-model"]) is None
    True
    """
    check(name, definition)
    ladder = LADDERS[name]
    for model in models:
        found = ladder.parse(model)
        if found is not None:
            wanted = ladder.definition if definition == UNSTATED else definition
            heads = {TOTAL: 2, NO_INPUT: 1, NO_EMBEDDING: 0}[wanted]
            return Checkpoint(
                run=found.run,
                params=float(found.body + heads * found.embedding),
                tokens=float(found.tokens),
                trunk=found.trunk,
            )
    return None


def _split(name: str) -> tuple[str, str]:
    """Model and revision, without the owner."""
    model, _, revision = name.strip().replace("__", "/").partition("@")
    return model.rstrip("/").rsplit("/", 1)[-1], revision


# Pythia: layers and width; vocabulary 50,304 (50,432 and 50,688 where it was split further).
_PYTHIA = {
    "14m": (6, 128, 50304),
    "31m": (6, 256, 50304),
    "70m": (6, 512, 50304),
    "160m": (12, 768, 50304),
    "410m": (24, 1024, 50304),
    "1b": (16, 2048, 50304),
    "1.4b": (24, 2048, 50304),
    "2.8b": (32, 2560, 50304),
    "6.9b": (32, 4096, 50432),
    "12b": (36, 5120, 50688),
}
_PYTHIA_BATCH = 2**21


def _pythia(name: str) -> _Found | None:
    model, revision = _split(name)
    match = re.fullmatch(r"pythia-(\d[\d.]*[mb])(-deduped)?", model.lower())
    step = re.fullmatch(r"step(\d+)", revision or "step143000")
    if revision == "main":
        step = re.fullmatch(r"step(\d+)", "step143000")
    if not match or not step or match[1] not in _PYTHIA or not int(step[1]):
        return None
    layers, width, vocabulary = _PYTHIA[match[1]]
    body = layers * (12 * width**2 + 13 * width) + 2 * width
    trunk = f"pythia-{match[1]}{match[2] or ''}"
    steps = int(step[1])
    return _Found(f"{trunk}@step{steps}", trunk, body, vocabulary * width, steps * _PYTHIA_BATCH)


# OLMo 2: layers, width, hidden, width of keys; padded vocabulary 100,352; tokens a step.
_OLMO_2 = {
    "OLMo-2-0425-1B": (16, 2048, 8192, 2048, 2**21),
    "OLMo-2-1124-7B": (32, 4096, 11008, 4096, 2**22),
    "OLMo-2-1124-13B": (40, 5120, 13824, 5120, 2**23),
    "OLMo-2-0325-32B": (64, 5120, 27648, 1024, 2**23),
}


def _olmo_body(layers: int, width: int, hidden: int, keys: int) -> int:
    """Weights of a reordered-norm, gated decoder with norms of queries and keys."""
    attention = 2 * width**2 + 2 * width * keys
    return layers * (attention + 3 * width * hidden + 3 * width + keys) + width


def _olmo_2(name: str) -> _Found | None:
    model, revision = _split(name)
    known = {one.lower(): one for one in _OLMO_2}
    # Stage 2 anneals on other text, and main is an average of such runs: neither is on the curve.
    match = re.fullmatch(r"stage1-step(\d+)-tokens(\d+)B", revision)
    if model.lower() not in known or not match or not int(match[1]):
        return None
    trunk = known[model.lower()]
    layers, width, hidden, keys, batch = _OLMO_2[trunk]
    tokens = int(match[1]) * batch
    if abs(tokens - int(match[2]) * 1e9) > 1.01e9:
        return None
    body = _olmo_body(layers, width, hidden, keys)
    return _Found(f"{trunk}@step{match[1]}", trunk, body, 100352 * width, tokens)


# The OLMo ladder: N without the input embedding, and the width, as the authors state them.
_OLMO_LADDER = {
    "190M": (190_354_176, 768),
    "370M": (371_262_464, 1024),
    "760M": (758_220_288, 1536),
    "1B": (1_279_395_840, 2048),
    "3B": (3_169_537_280, 3328),
}


def _olmo_ladder(name: str) -> _Found | None:
    model, revision = _split(name)
    match = re.fullmatch(
        r"(?:olmo-ladder-|peteish-moreeval-(?:rerun-)?)?(\d+[MB])-(\d+(?:\.\d+)?)xC(-rerun)?",
        model,
        re.IGNORECASE,
    )
    size = match[1].upper() if match else ""
    if not match or size not in _OLMO_LADDER or revision not in ("", "main"):
        return None
    count, width = _OLMO_LADDER[size]
    again = "-rerun" if match[3] or "rerun" in model.lower() else ""
    run = f"OLMo-Ladder-{size}-{match[2]}xC{again}"
    embedding = 100352 * width
    return _Found(run, run, count - embedding, embedding, 20.0 * count * float(match[2]))


def _gemstones(name: str) -> _Found | None:
    model, revision = _split(name)
    match = re.fullmatch(r"gemstone-(\d+)x(\d+)(_[a-z_]+)?", model.lower())
    steps = re.fullmatch(r"step_(\d+)(?:_cooldown_(\d+))?", revision)
    if not match or not steps:
        return None
    width, depth, variant = int(match[1]), int(match[2]), match[3] or ""
    heads, ragged = divmod(width, 128)
    if ragged or not heads or not depth:
        return None
    keys = 128 * max(heads // 2, 1)
    body = depth * (14 * width**2 + 2 * width * keys + 2 * width) + width
    trunk = f"Gemstone-{width}x{depth}{variant}"
    last = int(steps[2] or steps[1])
    run = f"{trunk}@{revision}"
    return _Found(run, trunk, body, 50304 * width, last * 2**22) if last else None


LADDERS = {
    "pythia": Ladder(
        source="Biderman et al. 2023, arXiv:2304.01373, and the model cards: step x 2,097,152",
        definition=TOTAL,
        parse=_pythia,
    ),
    "olmo-ladder": Ladder(
        source="Bhagia et al. 2024, arXiv:2412.04403: tokens are 20 N times the xC of the name, "
        "within .3% of the steps that were run",
        definition=NO_INPUT,
        parse=_olmo_ladder,
    ),
    "olmo2": Ladder(
        source="OLMo 2, arXiv:2501.00656, and the model cards: stage 1, step x batch",
        definition=NO_INPUT,
        parse=_olmo_2,
    ),
    "gemstones": Ladder(
        source="McLeish et al. 2025, arXiv:2502.06857: step x 4,194,304",
        definition=TOTAL,
        parse=_gemstones,
    ),
}
"""Every ladder by its name."""
