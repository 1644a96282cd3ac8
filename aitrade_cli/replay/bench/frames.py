"""Frames of a game, packed in memory and drawn in stacks."""

# The peers are an extra, which a checker need not have.
# pyright: reportMissingImports=false

from __future__ import annotations

import importlib.util
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8

from aitrade_cli.errors import Missing, Usage
from aitrade_cli.replay.batch import Batch
from aitrade_cli.replay.bench.frames_report import FramesLine
from aitrade_cli.replay.bench.rounds import ratio_of, spread, time_in_turn
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore

SIDE: Final = 84
STACK: Final = 4
BATCH: Final = 256
SYNTHETIC: Final = "synthetic"
COMPARED: Final = 4  # batches that are held against those of a store that is not packed
SB3_ROWS: Final = 20_000  # of stacked transitions; more take gigabytes


class NoEmulator(Missing):
    """The frames of a game are to be packed and ale-py is not installed."""

    default_hint = "pip install ale-py, or `--frames synthetic`"

    def __init__(self, game: str) -> None:
        super().__init__(f"the frames of `{game}` need the emulator ale-py")


def pack_game(game: str, count: int, with_sb3: bool, rounds: int, seed: int) -> FramesLine:
    """Fill a packed store with the frames of one game and time random stacks out of it.

    Args:
        game: of the emulator's own, played at random; or ``synthetic``.
        count: transitions, each of one frame.
        with_sb3: compare with stable-baselines3 where it is installed.
        rounds: of each operation.
        seed: of the play and the draws.

    Raises:
        NoEmulator: ale-py is not installed.
        Usage: it has no such game, or the frames are too few.
    """
    check_game(game)
    if count < 2 * BATCH:
        raise Usage(f"`{count}` frames are too few", hint=f"{2 * BATCH} or more")
    play = synthetic(count + 1, seed) if game == SYNTHETIC else played(game, count + 1, seed)
    packed, raw = filled(play, seed, packed=True), filled(play, seed, packed=False)
    unlike = sum(differing(stacks(packed), stacks(raw)) for _ in range(COMPARED))
    ways = {"packed": lambda: lambda: stacks(packed), "raw": lambda: lambda: stacks(raw)}
    if with_sb3 and importlib.util.find_spec("stable_baselines3") is not None:
        buffer = stacked_buffer(play)
        ways["sb3"] = lambda: lambda: buffer.sample(BATCH)
    taken = time_in_turn(ways, rounds=rounds)
    theirs = taken.get("sb3")
    return FramesLine(
        game=game,
        frames=packed.ring.live,
        frame_bytes=play[0].nbytes,
        packed_bytes=packed.bytes,
        unlike=unlike,
        draw_us_p50=spread(taken["packed"], seed),
        raw_us_p50=spread(taken["raw"], seed),
        sb3_us_p50=None if theirs is None else spread(theirs, seed),
        ratio=None if theirs is None else ratio_of(theirs, taken["packed"], seed),
    )


def filled(play: UInt8[np.ndarray, "n height width"], seed: int, *, packed: bool) -> ReplayStore:
    """A store of one long episode."""
    count = len(play) - 1
    schema = Schema(
        (
            Field("obs", "uint8", play.shape[1:]),
            Field("act", "int64"),
            Field("reward", "float32"),
        )
    )
    rng = np.random.default_rng(seed)
    store = ReplayStore(schema, count, packed=packed, seed=seed)
    store.add_batch(
        obs=play[:-1],
        act=rng.integers(0, 4, count),
        reward=rng.normal(size=count).astype(np.float32),
        next_obs=play[1:],
    )
    return store


def stacks(store: ReplayStore) -> Batch:
    return store.sample(BATCH, window=STACK)


def differing(one: Batch, other: Batch) -> int:
    """Values that are not the same in two batches."""
    return sum(int(np.count_nonzero(one[name] != other[name])) for name in one)


def check_game(game: str) -> None:
    """Refuse a game that cannot be played here.

    Raises:
        NoEmulator: ale-py is not installed.
        Usage: it has no such game.
    """
    if game == SYNTHETIC:
        return
    if importlib.util.find_spec("ale_py") is None:
        raise NoEmulator(game)
    from ale_py.roms import get_all_rom_ids

    if game not in get_all_rom_ids():
        raise Usage(f"the emulator has no game `{game}`", hint="for example `pong` or `breakout`")


def stacked_buffer(frames: UInt8[np.ndarray, "n height width"]) -> Any:  # noqa: ANN401 -- of a library that may be missing
    """stable-baselines3's buffer, full of stacks of four of these frames."""
    from gymnasium.spaces import Box, Discrete
    from stable_baselines3.common.buffers import ReplayBuffer

    rows = min(len(frames) - STACK, SB3_ROWS)
    space = Box(0, 255, (STACK, *frames.shape[1:]), np.uint8)
    buffer = ReplayBuffer(rows, space, Discrete(4), device="cpu")
    for k in range(STACK):
        buffer.observations[:, 0, k] = frames[k : k + rows]
        buffer.next_observations[:, 0, k] = frames[k + 1 : k + 1 + rows]
    buffer.full, buffer.pos = True, 0
    return buffer


def played(game: str, count: int, seed: int) -> UInt8[np.ndarray, "n height width"]:
    """Frames of random play, as learners see them: grey, 84 x 84, one of four."""
    from ale_py import AtariVectorEnv

    environment = AtariVectorEnv(
        game, num_envs=1, stack_num=1, img_height=SIDE, img_width=SIDE, grayscale=True,
        frameskip=4, maxpool=True,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    actions = int(environment.single_action_space.n)
    frames = np.empty((count, SIDE, SIDE), dtype=np.uint8)
    seen, _ = environment.reset(seed=seed)
    for step in range(count):
        frames[step] = seen[0, 0]
        seen, *_ = environment.step(rng.integers(0, actions, 1))
    environment.close()
    return frames


def synthetic(count: int, seed: int) -> UInt8[np.ndarray, "n height width"]:
    """A still picture, a ball and two paddles: what most of such frames is like."""
    rng = np.random.default_rng(seed)
    still = np.full((SIDE, SIDE), 87, dtype=np.uint8)
    still[:10] = rng.integers(0, 255, (10, SIDE), dtype=np.uint8)
    frames = np.repeat(still[None], count, axis=0)
    paddle = 40
    for step in range(count):
        paddle = int(np.clip(paddle + rng.integers(-2, 3), 10, SIDE - 12))
        row, column = 10 + (3 * step) % (SIDE - 14), (2 * step) % (SIDE - 4)
        frames[step, row : row + 2, column : column + 2] = 236
        frames[step, paddle : paddle + 8, -4:-2] = 200
        frames[step, SIDE - paddle : SIDE - paddle + 8, 2:4] = 180
    return frames
