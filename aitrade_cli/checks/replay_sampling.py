"""Proof of R2 to R6: what is drawn, how it is packed, how old it is, how much, and how often."""

from __future__ import annotations

import importlib.util
import time
import warnings

import numpy as np
from jaxtyping import Float64
from scipy.stats import chisquare

from aitrade_cli.checks.fixtures import fixtures_folder
from aitrade_cli.checks.replay_cliffwalk import CLIFFWALK, memory_of_priorities, times_sooner
from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.market.bars import read_bars
from aitrade_cli.market.features import DEFAULT_FEATURES, fit_preprocessing, prepare
from aitrade_cli.replay.bench.compare import bench
from aitrade_cli.replay.bench.data import PRIORITIZED, UPDATE
from aitrade_cli.replay.bench.frames import SYNTHETIC, pack_game
from aitrade_cli.replay.bench.frames_report import FramesLine
from aitrade_cli.replay.bench.peers import version_of
from aitrade_cli.replay.bench.rounds import spread
from aitrade_cli.replay.interfaces import Indices, Sampler
from aitrade_cli.replay.learning.batch_size import BatchSizer, Bounds
from aitrade_cli.replay.learning.batch_trial import planted_trial
from aitrade_cli.replay.learning.corrections import v_trace
from aitrade_cli.replay.learning.state_cache import NotDeterministic, StateCache
from aitrade_cli.replay.sampling.by_age import ByAge
from aitrade_cli.replay.sampling.priorities import Proportional
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore

LEAST_P = 0.001  # of chi-square: a true draw is called false once in a thousand runs
SINGLE = 1.2e-7  # float32 holds a priority to within half of this
DRAWS = 1_000_000
BATCH = 250
SMALLER = 20.0
WINDOW = 64
MOST_OF_WINDOWS = 0.02
ROUNDING = 1e-9
NOISE = "measured noise scale"


class Numbered:
    """Rows without content, all of which can be drawn."""

    def __init__(self, count: int, versions: np.ndarray | None = None) -> None:
        self.capacity = self.total = count
        self.first = 0
        self.versions = versions

    def sampleable(self, indices: Indices) -> np.ndarray:
        return (indices >= self.first) & (indices < self.total)

    def waiting(self, indices: Indices) -> np.ndarray:
        return np.zeros(len(indices), np.bool_)

    def column(self, name: str, indices: Indices) -> np.ndarray:
        if self.versions is None:
            raise KeyError(name)
        return self.versions[indices]


def draws_follow_the_priorities(quick: bool) -> CheckResult:
    """A million draws follow the formula, also where priorities differ by 24 decades."""
    rng = np.random.default_rng(0)
    sampler = Proportional(0.6, epsilon=0.0)
    sampler.bind(Numbered(500))
    priorities = rng.exponential(size=500)
    sampler.update(np.arange(500), priorities)
    expected = priorities**0.6
    fit = goodness_of_fit(sampler, expected, rng)
    mixed = np.array([1e-12, 1e12, 0.0, 1.0, 3e-7, 5e8, 1e-12, 2.0])
    sampler.update(np.arange(500), np.resize(mixed, 500))
    formula = np.resize(mixed, 500) ** 0.6
    off = sampler.probabilities(np.arange(500)) * formula.sum() - formula
    deviation = float(np.max(np.abs(off) / np.maximum(formula, 1e-300)))
    peers = [name for name in ("cpprb",) if version_of(name)]
    report = bench(peers, rows=100_000 if quick else 1_000_000, rounds=40 if quick else 200)
    sooner = spread(times_sooner(5 if quick else 25), seed=0)
    return CheckResult(
        Measured(
            speedup=sooner.value,
            speedup_low=sooner.low,
            speedup_high=sooner.high,
            memory_saved=-memory_of_priorities(report.rows, report.features),
        ),
        (
            Bound("chi-square of a million draws", fit, LEAST_P, "at_least", "p"),
            Bound("largest error of a probability", deviation, SINGLE, "at_most", "of itself"),
        ),
        f"batches that uniform draws need over those that draws by priority need, on {CLIFFWALK}; "
        f"memory of the priorities of {report.rows:,} rows of 64 float32; calls in turn with "
        + ("cpprb, batch 256, 1 thread" if peers else "no other library: cpprb is not installed"),
        tuple(
            Case(name, ratio.value, None, "a call, against cpprb")
            for name in (PRIORITIZED, UPDATE)
            if (ratio := report.ratio(name, "cpprb"))
        ),
    )


def goodness_of_fit(
    sampler: Sampler, weights: Float64[np.ndarray, " n"], rng: np.random.Generator
) -> float:
    """Chi-square p-value of a million draws against weights, none of which is rare."""
    counts = np.zeros(len(weights), dtype=np.int64)
    for _ in range(DRAWS // BATCH):
        indices, _ = sampler.draw(rng, BATCH)
        counts += np.bincount(indices, minlength=len(weights))
    if counts[weights == 0].sum():
        return 0.0
    expected = weights / weights.sum() * DRAWS
    return float(chisquare(counts[weights > 0], expected[weights > 0]).pvalue)


def frames_are_packed(quick: bool) -> CheckResult:
    """Frames take a twentieth of their bytes in memory, and stacks are drawn out of them."""
    emulator = importlib.util.find_spec("ale_py") is not None
    games = ("pong", "breakout") if emulator and not quick else (SYNTHETIC,)
    count = 20_000 if quick else 30_000  # fewer, and the newest rows, which stay raw, weigh most
    lines = [pack_game(game, count, with_sb3=True, rounds=20, seed=0) for game in games]
    ratios = [line.ratio.value for line in lines if line.ratio is not None]
    return CheckResult(
        Measured(
            speedup=min(ratios) if ratios else None,
            memory_saved=min(line.saved_share for line in lines),
        ),
        (*(bound for line in lines for bound in frame_bounds(line)), *market_windows()),
        f"a packed store of {count:,} frames of 84 x 84 with actions and rewards, 256 "
        "transitions of four stacked frames, 1 thread; speed against stable-baselines3 drawing "
        "256 raw ones"
        + ("" if ratios else ", which is not installed: speed was not compared")
        + "; memory against a buffer that holds every stack",
        tuple(
            Case(line.game, line.ratio.value if line.ratio else None, line.saved_share)
            for line in lines
        ),
    )


def market_windows() -> tuple[Bound, Bound]:
    """Bars are kept once; the windows over them are rebuilt, and are what they were."""
    bars = read_bars(str(fixtures_folder() / "bars" / "eurusd_1h.parquet"))
    rows = prepare(bars, fit_preprocessing(bars, DEFAULT_FEATURES, WINDOW)).features
    count = len(rows) - 1
    schema = Schema((Field("obs", "float32", rows.shape[1:]), Field("reward", "float32")))
    store = ReplayStore(schema, count, seed=0)
    ends = np.arange(count) == count - 1
    reward = np.arange(count, dtype=np.float32)
    store.add_batch(obs=rows[:-1], reward=reward, next_obs=rows[1:], truncated=ends)
    batch = store.sample(BATCH, window=WINDOW, pad="skip")
    windows = np.lib.stride_tricks.sliding_window_view(rows, WINDOW, axis=0)
    newest = np.asarray(batch["reward"]).astype(np.int64)
    expected = windows[newest - WINDOW + 1].transpose(0, 2, 1)
    same = np.array_equal(np.asarray(batch["obs"]), expected)
    share = store.ring.bytes / (2 * count * WINDOW * rows[0].nbytes)
    return (
        Bound("windows as they were", float(same), 1.0, "at_least", "yes"),
        Bound("memory of rows", share, MOST_OF_WINDOWS, "at_most", "of all windows"),
    )


def frame_bounds(line: FramesLine) -> tuple[Bound, ...]:
    held = (
        Bound(f"{line.game} smaller", line.smaller, SMALLER, "at_least", "times"),
        Bound(f"{line.game} unlike raw", line.unlike, 0, "at_most", "values"),
    )
    if line.ratio is None:
        return held
    return *held, Bound(f"{line.game} against sb3", line.ratio.value, 1.0, "at_least", "times")


def lag_is_weighed_and_corrected(quick: bool) -> CheckResult:
    """Draws follow the age of the policy, and V-trace is what its definition says."""
    rng = np.random.default_rng(1)
    versions = rng.integers(0, 40, 200)
    sampler = ByAge(max_age=30, half_life=8.0)
    sampler.bind(Numbered(200, versions))
    sampler.version = 45
    ages = 45 - versions
    weights = np.where(ages <= 30, 0.5 ** (ages / 8.0), 0.0)
    fit = goodness_of_fit(sampler, weights, rng)
    deviation = max(trace_error(rng) for _ in range(50 if quick else 500))
    counted = sum(one.rows for one in sampler.report().bins)
    return CheckResult(
        Measured(),
        (
            Bound("chi-square of a million draws by age", fit, LEAST_P, "at_least", "p"),
            Bound("V-trace against its definition", deviation, ROUNDING, "at_most", "of a value"),
            Bound("rows in the histogram", counted, 200, "at_least", "of 200"),
        ),
        "200 rows of 40 policy versions, half-life 8, limit 30; V-trace over random episodes",
    )


def trace_error(rng: np.random.Generator) -> float:
    """Largest difference from equation 1 of the paper, its sums and products written out."""
    target, behavior, rewards, values = rng.normal(size=(4, 6, 1))
    discounts = rng.choice([0.0, 0.9, 1.0], (6, 1))
    made = v_trace(target, behavior, rewards, discounts, values, np.array([0.5]), clip_rho=1.3)
    ratios = np.exp(target - behavior)[:, 0]
    line, worst = np.append(values[:, 0], 0.5), 0.0
    for start in range(6):
        slow, product = line[start], 1.0
        for t in range(start, 6):
            error = rewards[t, 0] + discounts[t, 0] * line[t + 1] - line[t]
            slow += product * min(1.3, ratios[t]) * error
            product *= discounts[t, 0] * min(1.0, ratios[t])
        worst = max(worst, float(abs(slow - made.values[start, 0])))
    return worst


def batches_follow_the_noise(quick: bool) -> CheckResult:
    """A batch that follows the noise spends fewer rows than the best fixed one."""
    trial = planted_trial(seeds=5 if quick else 25)
    rng = np.random.default_rng(2)
    sizer = BatchSizer(Bounds(8, 100_000), smoothing=0.999)
    for _ in range(4_000):
        sizer.saw_gradients(3.0 + rng.standard_normal((8, 4)) * 5.0, 16)
    scale = (sizer.noise_scale or 0.0) / (16 * 5.0**2 / 3.0**2)
    return CheckResult(
        Measured(),
        (
            Bound("rows of the best fixed batch", trial.gain or 0.0, 1.0, "at_least", "of ours"),
            Bound(NOISE, scale, 0.95, "at_least", "of the true one"),
            Bound(NOISE, scale, 1.05, "at_most", "of the true one"),
        ),
        f"a planted quadratic, loss {trial.target_loss}, learning rate {trial.learning_rate}, "
        f"median of {trial.seeds} seeds; rows are what is saved, steps are not",
        tuple(
            Case(f"batch {run.batch}", None, None, f"{run.rows} rows, {run.steps} steps")
            for run in trial.runs
        ),
    )


def steps_are_remembered(quick: bool) -> CheckResult:
    """Steps that were seen are not computed again, and chance turns the cache off."""
    visits = np.random.default_rng(3).zipf(1.3, 2_000 if quick else 20_000) % 1_000
    cache = StateCache(1_000_000)
    start = time.perf_counter()
    plain = [costly_step(int(state)) for state in visits]
    without = time.perf_counter() - start
    start = time.perf_counter()
    cached = [cache.step(int(state), 0, lambda s=state: costly_step(int(s))) for state in visits]
    with_cache = time.perf_counter() - start
    same = all(np.array_equal(a["obs"], b["obs"]) for a, b in zip(plain, cached, strict=True))
    report = cache.report()
    return CheckResult(
        Measured(speedup=without / with_cache),
        (
            Bound("outcomes as without the cache", float(same), 1.0, "at_least", "yes"),
            Bound("bytes held", report.held_bytes, report.limit_bytes, "at_most", "bytes"),
            Bound("chance is found out", float(chance_is_found()), 1.0, "at_least", "yes"),
        ),
        f"{len(visits):,} steps of a planted environment that sorts 20,000 numbers a step, "
        "states visited by a Zipf law, 1 MB of cache",
        (Case("hit rate", None, None, f"{report.hit_rate:.1%}, {report.evicted} evicted"),),
    )


def costly_step(state: int) -> dict[str, np.ndarray]:
    """A step that takes about as long as that of an emulator."""
    numbers = (np.arange(20_000) * (state * 2_654_435_761 + 1)) % 1_000_003
    return {"obs": np.sort(numbers)[:32]}


def chance_is_found() -> bool:
    rng, cache = np.random.default_rng(0), StateCache(10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotDeterministic)  # it is what is looked for
        for _ in range(3):
            cache.step(0, 0, lambda: {"obs": rng.random(3)})
    return not cache.report().on
