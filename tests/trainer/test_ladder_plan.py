import dataclasses
import itertools
import math
import pathlib

import pytest

from t2jax.cli import main
from t2jax.errors import InputError
from t2jax.trainer.config import LEAST_STEPS, default_batch_tokens
from t2jax.trainer.ladder import PRESETS, LadderPlan, plan_ladder, preset

ROW = {"tokens_per_row": 55.0, "seq_len": 64, "vocab_size": 128}


@pytest.fixture(scope="module")
def full() -> LadderPlan:
    return plan_ladder(preset("full"), **ROW)


def test_the_full_ladder_has_the_promised_sizes(full: LadderPlan):
    assert len(full.points) >= 200
    assert full.decades >= 2.7
    assert full.overtrained(200) >= 100
    assert max(point.tokens for _, point in full.points) > 40e6
    assert {trunk.train.model.n_layers for trunk in full.trunks} == {2, 4}
    # one core-second is what a laptop core does in a second: two hours on two of them
    assert full.seconds < 1.1 * 14_400


def test_all_sizes_but_the_largest_two_have_five_seeds(full: LadderPlan):
    seeds: dict[int, set[int]] = {}
    for trunk in full.trunks:
        seeds.setdefault(trunk.params, set()).add(trunk.train.seed)
    by_size = [len(seeds[n]) for n in sorted(seeds)]
    assert by_size == [5] * (len(seeds) - 2) + [3, 3]
    assert min(seeds) < 1_000
    assert max(seeds) > 200_000


def test_every_run_has_steps_enough_and_long_ones_no_needlessly_small_batch(full: LadderPlan):
    for trunk, point in full.points:
        rows = trunk.train.batch_rows
        assert rows is not None
        assert point.stop > 0.75 * LEAST_STEPS
        wanted = default_batch_tokens(trunk.train.model, point.tokens) / ROW["tokens_per_row"]
        assert rows <= wanted + 1
        shortest = trunk.points[0]
        assert rows > wanted / 2 or point.tokens < 8.5 * shortest.tokens


def test_a_size_whose_short_runs_want_a_smaller_batch_has_two_trunks(full: LadderPlan):
    split = {trunk.family for trunk in full.trunks if trunk.name.endswith("-long")}
    assert split
    for family in split:
        short, long = (trunk for trunk in full.trunks if trunk.family == family)
        assert (long.train.batch_rows or 0) >= 2 * (short.train.batch_rows or 1)
        assert long.points[0].tokens > short.points[-1].tokens
        assert long.train.seed == short.train.seed


def test_every_level_brackets_the_expected_optima(full: LadderPlan):
    levels: dict[float, list[int]] = {}
    for trunk, point in full.points:
        levels.setdefault(point.flops, []).append(trunk.params)
    assert len(levels) == 10
    for flops, sizes in levels.items():
        chinchilla = math.sqrt(flops / (6 * 90))
        assert min(sizes) < chinchilla / 3.3
        # at most half the tokens per parameter of the best single-pass size, which is near 50
        assert flops / (6 * max(sizes) ** 2) < 26
        assert len(set(sizes)) >= 4


def test_a_level_is_a_level(full: LadderPlan):
    for trunk, point in full.points:
        # whole chunks, few of them in the shortest runs
        assert 6 * trunk.params * point.tokens == pytest.approx(point.flops, rel=0.11)


@pytest.mark.parametrize("name", PRESETS)
def test_branches_are_whole_chunks_behind_the_warm_up(name: str):
    rule = preset(name)
    plan = plan_ladder(rule, **ROW)
    for trunk in plan.trunks:
        train = trunk.train
        assert train.batch_rows
        assert train.warmup_tokens is not None
        warm = train.warmup_tokens / (train.batch_rows * ROW["tokens_per_row"])
        for point in trunk.points:
            assert point.branch % rule.chunk == point.stop % rule.chunk == 0
            assert warm < point.branch < point.stop
            share = (point.stop - point.branch) / point.stop
            assert share == pytest.approx(rule.cooldown, abs=0.5 * rule.chunk / point.stop + 1e-9)
        for early, late in itertools.pairwise(trunk.points):
            assert early.branch < late.branch
            assert early.tokens < late.tokens


def test_runs_have_names_of_their_own(full: LadderPlan):
    names = [point.run for _, point in full.points]
    assert len(set(names)) == len(names)


def test_seeds_differ_in_nothing_but_seed_and_length():
    plan = plan_ladder(preset("laptop"), **ROW, seeds=2)
    by_size: dict[tuple, list] = {}
    for trunk in plan.trunks:
        size = (trunk.params, trunk.name.endswith("-long"))
        by_size.setdefault(size, []).append(trunk.train)
    assert all(len(found) == 2 for found in by_size.values())
    for first, second in by_size.values():
        assert dataclasses.replace(second, seed=0, tokens=first.tokens) == first


def test_a_time_budget_leaves_the_dearest_levels_out(full: LadderPlan):
    half = plan_ladder(preset("full"), **ROW, time_budget=full.seconds / 2)
    assert half.seconds <= full.seconds / 2
    assert len(half.points) < len(full.points)
    both = plan_ladder(preset("full"), **ROW, time_budget=full.seconds / 2, workers=2)
    assert both.wall_seconds(2) <= full.seconds / 2
    assert len(both.points) > len(half.points)
    kept = {point.flops for _, point in half.points}
    everything = sorted({point.flops for _, point in full.points})
    assert sorted(kept) == everything[: len(kept)]
    assert {p for _, p in half.points} <= {p for _, p in full.points}


def test_workers_share_the_trunks(full: LadderPlan):
    longest = max(trunk.seconds for trunk in full.trunks)
    assert full.wall_seconds(1) == pytest.approx(full.seconds)
    assert full.wall_seconds(1000) == longest
    # whoever is free takes the longest that is left: at most 4/3 of the best division
    best = max(longest, full.seconds / 3)
    assert best <= full.wall_seconds(3) <= 4 / 3 * best


def test_a_trunk_costs_less_than_separate_runs(full: LadderPlan):
    for trunk in full.trunks:
        if len(trunk.points) < 4:
            continue
        branches = sum(point.stop - point.branch for point in trunk.points)
        steps = trunk.points[-1].branch + branches
        assert steps < 0.65 * sum(point.stop for point in trunk.points)


def test_the_fingerprint_knows_every_setting():
    rule = preset("smoke")
    same = plan_ladder(rule, **ROW).fingerprint()
    assert plan_ladder(rule, **ROW).fingerprint() == same
    others = (
        plan_ladder(dataclasses.replace(rule, questions=9), **ROW),
        plan_ladder(dataclasses.replace(rule, cooldown=0.4), **ROW),
        plan_ladder(rule, **ROW, seeds=2),
        plan_ladder(rule, **ROW, source="other rows"),
    )
    assert len({same, *(plan.fingerprint() for plan in others)}) == 5


def test_the_summary_names_the_cost(full: LadderPlan):
    text = full.summary(2)
    assert f"{len(full.points)} checkpoints of {len(full.trunks)} trunks" in text
    assert f"{full.overtrained()} beyond 200 tokens per parameter" in text
    assert all(trunk.name in text for trunk in full.trunks)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: preset("ful"), "use one of smoke, ci"),
        (lambda: plan_ladder(preset("ci"), **ROW, seeds=0), "--seeds is 0"),
        (lambda: plan_ladder(preset("ci"), **ROW, time_budget=1.0), "longer --time-budget"),
    ],
)
def test_mistakes_are_answered_in_one_line(call, sentence: str):
    with pytest.raises(InputError, match=sentence):
        call()


def test_a_dry_run_prints_the_plan_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
):
    out = tmp_path / "ladder"
    words = ["ladder", "--preset", "smoke", "--out", str(out), "--dry-run", "--workers", "2"]
    assert main(words) == 0
    once = capsys.readouterr().out
    assert "4 checkpoints of 2 trunks" in once
    assert "with 2 workers" in once
    assert main([*words, "--seeds", "3", "--finetune"]) == 0
    thrice = capsys.readouterr().out
    assert "12 checkpoints of 6 trunks" in thrice
    assert "d8x2-s2" in thrice
    assert "finetuning every checkpoint in both ways: " in thrice.splitlines()[-1]
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--preset smok", "no ladder preset 'smok'; use one of smoke, ci"),
        ("--seeds 0", "--seeds is 0; give at least 1"),
        ("--workers 0", "--workers is 0; give at least 1"),
        ("--time-budget 1", "not even the cheapest level of 'smoke' fits in 1 seconds; give a"),
        ("--time-budget nan", "fits in nan seconds"),
        ("--out FILE", "is a file, not a folder"),
        ("--out DAMAGED --resume", "ladder.json: is damaged; name another --out"),
        ("--out OTHER --resume", "holds a ladder of preset 'smoke' with other settings"),
    ],
)
def test_the_command_answers_mistakes_in_one_line(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
):
    (tmp_path / "FILE").touch()
    for name, text in {"DAMAGED": "[", "OTHER": '{"preset": "smoke"}'}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "ladder.json").write_text(text, encoding="utf-8")
    given = [str(tmp_path / word) if word.isupper() else word for word in words.split()]
    out = [] if "--out" in given else ["--out", str(tmp_path / "ladder")]
    chosen = [] if "--preset" in given else ["--preset", "smoke"]
    assert main(["ladder", *chosen, *out, *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
