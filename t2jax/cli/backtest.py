"""`t2jax backtest`: a table in, what plans of its cheaper runs would have lost out."""

import dataclasses
import functools
from typing import Annotated

from t2jax.cli import _terminal
from t2jax.cli._flags import numbers
from t2jax.cli._options import FitOptions, Table, TableOptions, arg

__all__ = ["Command"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(FitOptions, TableOptions):
    """Plan from the cheaper runs of a table, and judge the plan by the dearer ones.

    Example: t2jax backtest ladder --inference-flops 7e5 --levels 1 -o backtest.json
    """

    table: Table
    train_flops: Annotated[
        str, arg("budgets to be judged, 6ND; chosen by the table", "FLOPS,FLOPS,...")
    ] = ""
    inference_flops: Annotated[
        str, arg("per generated token of a question, 2Nk; a quarter and four times it are asked "
                 "about too", "FLOPS")
    ] = ""  # fmt: skip
    shares: Annotated[
        str, arg("of a budget, up to which runs are fitted (default 1/2 and 1/3)", "SHARE,...")
    ] = ""
    levels: Annotated[int, arg("training budgets at most", "COUNT")] = 3
    draws: Annotated[int, arg("refits behind each interval", "COUNT")] = 100
    unit: Annotated[str, arg("what is resampled: run, trunk or row", "UNIT")] = ""
    seed: Annotated[int, arg("of the resampling", "SEED")] = 0
    out: Annotated[str, arg("write the result as JSON", "FILE", "-o")] = ""
    figure: Annotated[str, arg("draw it: .png, .svg or .pdf", "FILE")] = ""
    json: Annotated[bool, arg("print JSON instead of text")] = False

    def run(self) -> None:
        """Read, fit what is cheaper, plan, judge, write, print."""
        import t2jax as t2

        train = numbers(self.train_flops, "--train-flops", "1e20,4e20")
        inference = numbers(self.inference_flops, "--inference-flops", "2e9,8e9")
        shares = numbers(self.shares, "--shares", "1/2,1/3") or [1 / 2, 1 / 3]
        asked = {
            **({"train_flops": list(train)} if train else {}),
            **({"inference_flops": inference[0] if len(inference) == 1 else list(inference)}
               if inference else {}),
        }  # fmt: skip
        found = t2.backtest(
            self.read(self.table), asked, law=self.law or None, shares=shares, n_levels=self.levels,
            n_draws=self.draws, unit=self.unit or None, seed=self.seed,
            announce=_terminal.announce, **self.fit_arguments(),
        )  # fmt: skip
        if self.figure:
            from t2jax.reporting import figures

            drawn = figures.backtest_figure(found)
            _terminal.write(self.figure, functools.partial(figures.save, drawn))
        if self.out:
            _terminal.write(self.out, found.save)
        if self.out != "-":
            _terminal.tell(found, as_json=self.json)
