"""`t2jax train`: one model on one source, into one folder."""

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from t2jax.cli import _terminal
from t2jax.cli._options import arg, positional
from t2jax.errors import InputError

if TYPE_CHECKING:
    from t2jax.trainer.batches import Source
    from t2jax.trainer.journal import Progress

__all__ = ["Command"]

_TOKENS_PER_PARAM = 20.0  # where no length is given


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Train a decoder on the built-in corpus or on your text; the same command resumes it.

    Example: t2jax train corpus:small --d-model 32 --train-flops 1e11 --out run/
    """

    data: Annotated[
        tyro.conf.Positional[str],
        positional("corpus:tiny, corpus:small, corpus:large, or .jsonl, .txt, .npy, .bin", "DATA"),
    ] = "corpus:small"
    out: Annotated[str, arg("folder for checkpoints, metrics and parameters", "FOLDER", "-o")] = ""
    d_model: Annotated[int, arg("width of the model", "D")] = 32
    n_layers: Annotated[int, arg("blocks of attention and MLP", "L")] = 2
    head_dim: Annotated[int, arg("width of an attention head", "H")] = 16
    seq_len: Annotated[int | None, arg("tokens of a row; the corpus's own, or 256", "T")] = None
    compute_dtype: Annotated[
        str, arg("float32 or bfloat16; by default bfloat16 on accelerators", "NAME")
    ] = ""
    tokens: Annotated[float | None, arg("length of training in tokens", "D")] = None
    train_flops: Annotated[float | None, arg("length by its cost, 6ND", "C")] = None
    tokens_per_param: Annotated[float | None, arg("length by its ratio to N: 20", "RATIO")] = None
    batch_rows: Annotated[int | None, arg("rows of a step; by a rule", "ROWS")] = None
    learning_rate: Annotated[float | None, arg("at its peak; by a rule", "RATE")] = None
    warmup_tokens: Annotated[float | None, arg("of the rise; by a rule", "TOKENS")] = None
    schedule: Annotated[str, arg("wsd, cosine or linear", "NAME")] = "wsd"
    cooldown: Annotated[float, arg("share of the steps in which wsd decays", "SHARE")] = 0.2
    weight_decay: Annotated[float, arg("on matrices and head", "DECAY")] = 1e-4
    clip: Annotated[float, arg("norm to which a larger gradient is cut", "NORM")] = 1.0
    accumulate: Annotated[int, arg("parts of a batch, one after another", "PARTS")] = 1
    remat: Annotated[bool, arg("compute blocks again for the gradient: less memory")] = False
    chunk: Annotated[int, arg("steps of one call of the program", "STEPS")] = 16
    answers_only: Annotated[bool, arg("count the loss on answers only")] = False
    seed: Annotated[int, arg("of the parameters and the order of the data", "SEED")] = 0
    tokenizer: Annotated[str, arg("bytes, or a tokenizer.json; for text", "NAME")] = "bytes"
    token_dtype: Annotated[str, arg("of a .bin file: uint16, uint32, int32, int64", "NAME")] = (
        "uint16"
    )
    checkpoint_every: Annotated[
        int | None, arg("steps between checkpoints; a tenth of the run", "STEPS")
    ] = None
    data_parallel: Annotated[int, arg("devices that share rows, each with all state", "N")] = 1
    fsdp: Annotated[int, arg("devices that share rows and state", "N")] = 1
    coordinator: Annotated[
        str, arg("host:port of process 0, or auto on SLURM and TPU pods", "ADDRESS")
    ] = ""
    num_processes: Annotated[int | None, arg("processes of the run", "N")] = None
    process_id: Annotated[int | None, arg("number of this process", "I")] = None
    init_timeout: Annotated[int, arg("seconds to wait for the other processes", "S")] = 300
    cache: Annotated[str, arg("folder for compiled programs, to start faster", "FOLDER")] = ""
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Join the other processes, train, print."""
        from t2jax.trainer import devices, train

        self._join()
        if self.cache:
            devices.cache_compilation(self.cache)
        source = self.source()
        show = None if self.json or not sys.stderr.isatty() else _draw
        result = train.train(
            self.config(source),
            source,
            out=self.out or None,
            checkpoint_every=self.checkpoint_every,
            report=show,
        )
        if show is not None and devices.is_first():
            sys.stderr.write("\n")
        if not result.finished:
            where = f"; the same command goes on from {self.out}" if self.out else ""
            _terminal.complain(f"stopped by a signal at step {result.step}{where}")
            raise SystemExit(143)
        if devices.is_first():
            facts = self._facts(result, source)
            _terminal.say(json.dumps(facts) if self.json else _told(facts))

    def source(self) -> "Source":
        """Where the rows come from.

        Raises:
          InputError: no such corpus or file.
        """
        from t2jax.trainer.corpus import Corpus
        from t2jax.trainer.text import open_text

        kind, colon, preset = self.data.partition(":")
        if colon and kind == "corpus":
            return Corpus(preset, seed=self.seed, seq_len=self.seq_len or 0)
        return open_text(
            self.data,
            self.tokenizer,
            seq_len=self.seq_len or 256,
            seed=self.seed,
            dtype=self.token_dtype,
        )

    def config(self, source: "Source") -> Any:
        """The run that the flags describe, for a source."""
        import jax

        from t2jax.trainer.config import ModelConfig, TrainConfig

        on_cpu = jax.default_backend() == "cpu"
        shape = ModelConfig(
            d_model=self.d_model,
            n_layers=self.n_layers,
            head_dim=self.head_dim,
            vocab_size=source.vocab_size,
            seq_len=source.seq_len,
            compute_dtype=self.compute_dtype or ("float32" if on_cpu else "bfloat16"),
        )
        length = {n: getattr(self, n) for n in ("tokens", "train_flops", "tokens_per_param")}
        if all(value is None for value in length.values()):
            length["tokens_per_param"] = _TOKENS_PER_PARAM
        own = {field.name for field in dataclasses.fields(TrainConfig)} - {"model", "data", *length}
        mine = {field.name for field in dataclasses.fields(self)}
        return TrainConfig(
            model=shape,
            data=self.data_parallel,
            **length,
            **{name: getattr(self, name) for name in own & mine},
        )

    def _join(self) -> None:
        from t2jax.trainer import devices

        numbered = self.num_processes is not None or self.process_id is not None
        if not self.coordinator:
            if numbered:
                raise InputError(
                    "--num-processes and --process-id say nothing without --coordinator",
                    remedy="give --coordinator HOST:PORT, the address of process 0",
                )
            return
        auto = self.coordinator == "auto"
        if not auto and (self.num_processes is None or self.process_id is None):
            raise InputError(
                f"--coordinator {self.coordinator} needs --num-processes and --process-id",
                remedy="give them, or --coordinator auto on SLURM and TPU pods",
            )
        devices.initialise_processes(
            None if auto else self.coordinator,
            self.num_processes,
            self.process_id,
            timeout=self.init_timeout,
        )

    def _facts(self, result: Any, source: "Source") -> dict[str, Any]:
        """The result, ready for JSON."""
        return {
            "params": result.config.model.params,
            "tokens": result.tokens,
            "steps": result.step,
            "train_flops": 6 * result.config.model.params * result.tokens,
            "loss": result.loss,
            "out": self.out or None,
            **_epochs(source, result.tokens),
        }


def _epochs(source: "Source", tokens: int) -> dict[str, Any]:
    """How often a text that ends has been seen; nothing of a corpus, which never repeats."""
    rows = getattr(source, "rows_per_epoch", None)
    if rows is None:
        return {}
    unique = round(rows * source.tokens_per_row)
    return {"unique_tokens": unique, "epochs": tokens / max(unique, 1)}


def _told(facts: dict[str, Any]) -> str:
    loss = "" if facts["loss"] is None else f", loss {facts['loss']:.4f} nats"
    ratio = facts["tokens"] / facts["params"]
    lines = [
        f"trained {facts['params']:,} parameters on {facts['tokens']:,} tokens "
        f"({ratio:.3g} a parameter, {facts['train_flops']:.3g} FLOPs) in {facts['steps']:,} steps"
        + loss
    ]
    if "epochs" in facts:
        lines.append(
            f"the text has {facts['unique_tokens']:,} unique tokens, seen "
            f"{facts['epochs']:.3g} times"
            + (": tokens repeated this often count for less" if facts["epochs"] > 4 else "")
        )
    if facts["out"]:
        lines.append(f"parameters, checkpoints and metrics are in {facts['out']}")
    return "\n".join(lines)


def _draw(now: "Progress") -> None:
    """One line that is written over, for somebody who is watching."""
    speed = (
        f"{now.flops_per_second:.2g} FLOP/s"
        if now.utilisation is None
        else f"MFU {100 * now.utilisation:.1f}%"
    )
    sys.stderr.write(
        f"\rstep {now.step:,}/{now.steps:,}, loss {now.loss:.4f}, "
        f"{now.tokens_per_second:,.0f} tokens/s, {speed}, {now.seconds_left:.0f} s left   "
    )
    sys.stderr.flush()
