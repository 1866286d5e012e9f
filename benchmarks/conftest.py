"""Fixtures of the benchmarks, and the table that a complete run leaves in `results/`."""

import pathlib

import jax
import pytest

from benchmarks import peers, record, tables

RESULTS = pathlib.Path(__file__).resolve().parent / "results"
COMMAND = "pytest -q benchmarks -p no:xdist --benchmark-only"

_CASES = pytest.StashKey[list[record.Case]]()
_ABOUT = pytest.StashKey[dict]()


def pytest_addoption(parser):
    parser.addoption(
        "--restarts",
        type=int,
        default=peers.RESTARTS,
        help="random restarts of the paper's recipe; fewer are scaled up and the table is not kept",
    )


def pytest_configure(config):
    # A program compiled in an earlier run would make the first call look cheap.
    jax.config.update("jax_enable_compilation_cache", False)
    config.stash[_CASES] = []
    config.stash[_ABOUT] = {"command": f"{COMMAND} (make bench)", **record.machine()}


@pytest.fixture
def case(request):
    """Starts a case; it is kept for the table, and judged when the test ends."""
    started = []

    def start(**fields) -> record.Case:
        new = record.Case(**fields)
        started.append(new)
        request.config.stash[_CASES].append(new)
        return new

    yield start
    for one in started:
        if one.engines:
            one.check()


@pytest.fixture
def clock(benchmark):
    """Times the engine under test with pytest-benchmark: first call apart, wall and CPU."""

    def run(call, *, rounds: int = 5):
        jax.clear_caches()
        watch = record.Stopwatch(call)
        watch()
        result = benchmark.pedantic(watch, rounds=rounds, iterations=1)
        timing = watch.timing(first=True)
        benchmark.extra_info.update(cpu_s=timing.cpu, first_wall_s=timing.first_wall)
        return timing, result

    return run


@pytest.fixture
def restarts(request) -> int:
    """Random restarts of the paper's recipe."""
    return request.config.getoption("--restarts")


@pytest.fixture(params=["epoch", "twin"])
def points(request) -> tables.Points:
    """The 240 points that Epoch fits, or their simulated twin."""
    if request.param == "twin":
        return tables.twin_points()
    if not tables.EPOCH.exists():
        pytest.skip("needs ../shared/data/chinchilla_epoch, which is not beside this checkout")
    return tables.epoch_points()


def _partial(session) -> bool:
    """Whether the run left out something that the kept table must have."""
    config = session.config
    named = any("::" in arg or arg.endswith(".py") for arg in config.args)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    left_out = reporter is None or bool({"skipped", "deselected"} & set(reporter.stats))
    fewer = config.getoption("--restarts") != peers.RESTARTS or config.option.keyword
    return bool(named or left_out or fewer or config.getoption("benchmark_disable"))


def pytest_sessionfinish(session, exitstatus):
    cases, about = session.config.stash[_CASES], session.config.stash[_ABOUT]
    if exitstatus or not cases or _partial(session):
        return
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "table.json").write_text(record.table_json(cases, about), encoding="utf-8")
    (RESULTS / "table.txt").write_text(record.table_text(cases, about), encoding="utf-8")


def pytest_terminal_summary(terminalreporter, config):
    cases = [case for case in config.stash[_CASES] if case.engines]
    if cases:
        terminalreporter.write_line("")
        terminalreporter.write(record.table_text(cases, config.stash[_ABOUT]))
