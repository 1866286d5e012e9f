"""`t2jax finetune`: checkpoints in, finetuned checkpoints out."""

import dataclasses
import json
from typing import Annotated, Any

from t2jax import _text
from t2jax._arguments import local_folder
from t2jax._progress import track
from t2jax.cli import _terminal
from t2jax.cli._flags import numbers
from t2jax.cli._options import arg
from t2jax.cli.evaluate import CheckpointOptions, find_checkpoints
from t2jax.errors import InputError

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(CheckpointOptions):
    """Finetune checkpoints until held-out questions stop improving.

    Example: t2jax finetune run/ --mode sft --out tuned/
    """

    mode: Annotated[str, arg("ft: whole documents; sft: answers only", "MODE")] = "sft"
    out: Annotated[str, arg("folder that gets one folder per checkpoint", "FOLDER", "-o")] = ""
    pool: Annotated[int, arg("solved questions of the corpus to train on", "COUNT")] = 2048
    kind: Annotated[str, arg("standard, or long for the longest answers", "KIND")] = "standard"
    dev: Annotated[
        str, arg("held-out questions, where --data is a file of training questions", "FILE")
    ] = ""
    rates: Annotated[
        str, arg("learning rates over that of pretraining, the next where one fails", "SHARE,...")
    ] = "0.3,0.08"
    max_tokens: Annotated[float, arg("document tokens of the longest try", "COUNT")] = 300e3
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Load, finetune, write, print."""
        if not self.out:
            raise InputError("--out is missing", remedy="name a folder for the results")
        out = local_folder(self.out)
        from t2jax.trainer import checkpoint, finetune

        rates = numbers(self.rates, "--rates", "0.3,0.08") or []
        recipe = finetune.FinetuneConfig(
            mode=self.mode,
            rates=tuple(rates),
            max_tokens=self.max_tokens,
        )
        folders = find_checkpoints(self.checkpoints)
        _terminal.announce(f"finetuning {len(folders)} checkpoints")
        rows = []
        for folder in track(folders, "finetuning"):
            shape, params, card = checkpoint.load_params(folder)
            name = folder.parent.name if folder.name == "params" else folder.absolute().name
            target = out / f"{name}-{self.mode}"
            checkpoint.check_place(target)
            result = self._tune(params, shape, recipe)
            variant = {"variant": self.mode, "finetune": result.card()}
            checkpoint.save_params(target, result.params, {**card, **variant, "model": shape})
            rows.append(
                {
                    "run": target.name,
                    "steps": result.steps,
                    "tokens": result.tokens,
                    "dev NLL before": result.dev_history[0].nll,
                    "after": result.dev_nll,
                    "converged": "yes" if result.converged else "no",
                }
            )
        _terminal.say(json.dumps(rows) if self.json else _as_text(rows))

    def _tune(self, params: Any, shape: Any, recipe: Any) -> Any:
        from t2jax.trainer import finetune
        from t2jax.trainer.corpus import Corpus

        source = self.source(shape.seq_len)
        if isinstance(source, Corpus):
            return finetune.finetune(
                params,
                shape,
                source,
                mode=self.mode,
                pool=self.pool,
                kind=self.kind,
                recipe=recipe,
            )
        if not self.dev:
            raise InputError(
                "a file of questions needs others to stop by", remedy="name a file with --dev"
            )
        held = self.source(shape.seq_len, self.dev)
        if isinstance(held, Corpus):
            raise InputError("--dev is a corpus", remedy="name a JSONL file of questions")
        return finetune.tune(params, shape, source, held.questions(), recipe)


def _as_text(rows: list[dict[str, Any]]) -> str:
    """One line per checkpoint."""
    return _text.table(
        list(rows[0]),
        [[v if isinstance(v, str) else _text.number(v) for v in row.values()] for row in rows],
    )
