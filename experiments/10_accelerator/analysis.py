"""The analysis on an accelerator beside two CPU cores, and how busy training keeps the device.

    python experiments/10_accelerator/analysis.py --out OUT          # minutes of one GPU
    python experiments/10_accelerator/analysis.py --out OUT --dry    # the same code, on a CPU

Every task is timed twice in its process, the first time with its compilation. The CPU's share
runs in a process of its own on two cores, with fewer of the same units, and rates are compared.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

import t2jax as t2
from t2jax.trainer import count, schedule
from t2jax.trainer.config import ModelConfig, TrainConfig
from t2jax.trainer.corpus import Corpus
from t2jax.trainer.fleet import Fleet

# units of each task: on the accelerator, on two CPU cores, in a dry run
OPTIMA = (10_000_000, 200_000, 500)
REFITS = (100_000, 1_000, 8)
CHAINS = (64, 8, 2)
DRAWS = 300  # of each chain, behind as many steps of warm-up
# width, layers, head, seeds side by side, rows of a step and seed, steps of a chunk
MODELS = (
    (64, 4, 32, 3, 32, 32),
    (64, 4, 32, 32, 128, 8),
    (96, 4, 32, 32, 128, 8),
    (512, 8, 64, 1, 512, 8),
    (768, 12, 64, 1, 512, 4),
)
DRY_MODELS = ((8, 1, 8, 2, 2, 2),)
MATRIX = 8192
PEAK = 989.4e12  # dense bf16 FLOP/s of an H100 or H200 SXM, by their data sheets


def tasks(place: int) -> dict:
    """What is timed, by name: the units, and a call that gives facts about its success."""
    runs = t2.datasets.load_ladder()
    # A fit is a sequence of small steps, which a CPU does best wherever the rest runs.
    with jax.default_device(jax.devices("cpu")[0]):
        fit = t2.fit(runs, law="softplus")
    optima, refits, chains = OPTIMA[place], REFITS[place], CHAINS[place]
    kept = DRAWS if place < 2 else 20
    budgets = t2.Budget(
        train_flops=np.geomspace(1e10, 1e14, optima), inference_flops=np.full(optima, 7e5)
    )

    def solve() -> dict:
        best = t2.optimum(fit, budgets, progress=False)
        return {"success": float(np.mean(np.isfinite(best.params)))}

    def refit() -> dict:
        draws = t2.bootstrap(fit, n_draws=refits, progress=False)
        return {"success": float(draws.diagnostics["converged"])}

    def sample() -> dict:
        draws = t2.posterior(fit, chains=chains, n_draws=kept, warmup=kept, allow_failed=True,
                             progress=False)  # fmt: skip
        found = draws.diagnostics
        return {"success": float(not found["failed"]), "r_hat": float(found["r_hat"]),
                "effective_draws": float(found["ess_bulk"]), "chains": chains}  # fmt: skip

    return {
        "optima of one law, a budget each": (optima, solve),
        "bootstrap refits of the built-in ladder, questions resampled": (refits, refit),
        "draws of NUTS": (chains * kept, sample),
    }


def timed(call) -> tuple[float, dict]:
    """Seconds of a call, and what it gave."""
    begun = time.perf_counter()
    facts = call()
    return time.perf_counter() - begun, facts


def analysis(place: int, after: pathlib.Path | None):
    """Every task once with its compilation, then all of them again. Yields a row at a time.

    Args:
      place: which of the units.
      after: file to wait for before the second round, so that nothing else uses the device.
    """
    rows = []
    for name, (units, call) in tasks(place).items():
        first, facts = timed(call)
        rows.append(({"task": name, "units": units, "first": first}, call))
        yield rows[-1][0] | facts
    while after and not after.exists():
        time.sleep(0.1)
    for row, call in rows:
        second, facts = timed(call)
        yield row | {"second": second, "units_per_second": row["units"] / second} | facts


def matrix_rate(size: int) -> float:
    """FLOP/s of a bf16 matrix product, the device's own ceiling."""
    one, two = (jax.random.normal(jax.random.key(i), (size, size), jnp.bfloat16) for i in (0, 1))
    product = jax.jit(lambda a, b: a @ b)
    product(one, two).block_until_ready()
    begun, times = time.perf_counter(), 20
    for _ in range(times):
        out = product(one, two)
    out.block_until_ready()
    return 2.0 * size**3 * times / (time.perf_counter() - begun)


def fleets(models) -> list[Fleet]:
    """A fleet for each model, compiled side by side."""
    corpus = Corpus("small", seq_len=128)
    made = []
    for width, layers, head, seeds, rows, chunk in models:
        shape = ModelConfig(
            d_model=width, n_layers=layers, head_dim=head, seq_len=128, compute_dtype="bfloat16"
        )
        config = TrainConfig(
            model=shape,
            tokens=1e9,
            batch_rows=rows,
            learning_rate=1e-3,
            warmup_tokens=1e5,
            chunk=chunk,
        )
        made.append(Fleet(config, corpus, tuple(range(seeds))))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(Fleet.compile, made))


def utilisation(fleet: Fleet, ceiling: float) -> dict:
    """How busy training keeps the device, rows included, beside the product of two matrices."""
    shape, chunk, plan = fleet.config.model, fleet.config.chunk, schedule.trunk(10)
    seeds, rows = len(fleet.seeds), fleet.config.batch_rows or 0
    warm, timed = 2 * chunk, 6 * chunk
    state, _ = fleet.run(fleet.init(), warm, plan)
    begun = time.perf_counter()
    state, _ = fleet.run(state, warm + timed, plan)
    seconds = (time.perf_counter() - begun) / timed
    places = seeds * rows * shape.seq_len
    useful = count.train_flops(shape, causal=True) * places / seconds
    kernels = profile(lambda: fleet.run(state, warm + timed + chunk, plan), chunk)
    return {
        "d_model": shape.d_model,
        "n_layers": shape.n_layers,
        "params": shape.params,
        "seeds": seeds,
        "rows": rows,
        "ms_a_step": 1e3 * seconds,
        "places_per_second": places / seconds,
        "flops_per_second": useful,
        "mfu": useful / PEAK,
        "share_of_matrix_product": useful / ceiling,
        "six_nd_share_of_matrix_product": 6.0 * shape.params * places / seconds / ceiling,
        "profile": kernels,
    }


def profile(call, steps: int) -> dict:
    """Kernels, busy milliseconds and the costliest kernels of a step."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(call()[0].step)
        found = sorted(pathlib.Path(folder).rglob("*.xplane.pb"))
        if not found:
            return {}
        spent: dict[str, float] = collections.defaultdict(float)
        kernels = 0
        first, last = float("inf"), 0.0
        for plane in jax.profiler.ProfileData.from_file(str(found[0])).planes:
            if "GPU" not in plane.name:
                continue
            for line in plane.lines:
                if not line.name.startswith("Stream"):
                    continue
                for event in line.events:
                    spent[event.name.split(".")[0]] += event.duration_ns
                    kernels += 1
                    first = min(first, event.start_ns)
                    last = max(last, event.start_ns + event.duration_ns)
    busy = sum(spent.values())
    top = sorted(spent.items(), key=lambda item: -item[1])[:12]
    return {"kernels_a_step": kernels / steps, "busy_ms_a_step": busy / 1e6 / steps,
            "span_ms_a_step": max(0.0, last - first) / 1e6 / steps,
            "costliest": {name: round(ns / max(busy, 1e-9), 3) for name, ns in top}}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Utilisation first, then the analysis here and on two cores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--dry", action="store_true", help="a hundredth of the size")
    parser.add_argument("--cpu", action="store_true", help="the CPU's share alone")
    parser.add_argument(
        "--after", type=pathlib.Path, help="file to wait for before the second round"
    )
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    name = "cpu.json" if args.cpu else "accelerator.json"
    told: dict = {"device": f"{jax.devices()[0].device_kind}", "jax": jax.__version__,
                  "command": " ".join(sys.argv), "analysis": [], "training": []}  # fmt: skip

    def say(kind: str, row: dict) -> None:
        told[kind].append(row)
        (args.out / name).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        shown = {k: v for k, v in row.items() if k != "profile"}
        sys.stdout.write(f"{time.monotonic() - begun:7.1f} s  {json.dumps(shown)}\n")
        sys.stdout.flush()

    other = None
    if not args.cpu:
        other = two_cores(args)
        told["matrix_flops_per_second"] = matrix_rate(256 if args.dry else MATRIX)
        for fleet in fleets(DRY_MODELS if args.dry else MODELS):
            say("training", utilisation(fleet, told["matrix_flops_per_second"]))
        (args.out / "trained").touch()
    for row in analysis(2 if args.dry else int(args.cpu), args.after):
        say("analysis", row)
    if other is not None:
        other.wait()
    return 0


def two_cores(args) -> subprocess.Popen:
    """The CPU's share, begun in a process of its own on two cores."""
    command = [sys.executable, __file__, "--out", str(args.out), "--cpu"]
    command += ["--dry"] * args.dry
    if not args.dry and hasattr(os, "sched_setaffinity"):
        command = ["taskset", "-c", "0,1", *command]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(command, env=environment)


if __name__ == "__main__":
    sys.exit(main())
