"""Every command of the program, in the order in which `--help` lists them."""
# long because it is one table: a reader looks one row up

from __future__ import annotations

from typing import Final

from aitrade_cli.catalog.kinds import Command, Group

PANELS: Final = ("Look", "Shrink and speed up", "Train", "Run", "Prove")

GROUPS: Final = (
    Group("replay", "Keep experience in a store that is fast and survives a kill", "Train"),
)

COMMANDS: Final = (
    Command(
        "inspect",
        "aitrade_cli.commands.inspect:inspect",
        "Show what a model file is, holds and went through",
        panel="Look",
        example="aitrade inspect fixtures/models/lstm.pt",
        exit_codes=(0, 2, 3, 4, 6),
    ),
    Command(
        "bench",
        "aitrade_cli.commands.bench:bench",
        "Measure latency, throughput and memory of models side by side",
        panel="Look",
        example="aitrade bench fixtures/models/lstm.pt --batch 1 --seconds 1",
        exit_codes=(0, 1, 2, 3, 4, 5, 6),
    ),
    Command(
        "profile",
        "aitrade_cli.commands.profile:profile",
        "Name what a program's time and memory go to, with the fix for each",
        panel="Look",
        example="aitrade profile fixtures/scripts/train_lstm.py -- --steps 20",
        exit_codes=(0, 1, 2, 3, 4, 5, 6, 130),
    ),
    Command(
        "quantize",
        "aitrade_cli.commands.quantize:quantize",
        "Store and run a model in fewer bits, and prove that it trades the same",
        panel="Shrink and speed up",
        example="aitrade quantize fixtures/models/lstm.pt --int8",
        exit_codes=(0, 1, 2, 3, 4, 5, 6),
    ),
    Command(
        "compile",
        "aitrade_cli.commands.compile:compile",
        "Try every compiler here and keep the fastest that trades the same",
        panel="Shrink and speed up",
        example="aitrade compile fixtures/models/lstm.pt --backend onnxruntime,openvino",
        exit_codes=(0, 1, 2, 3, 4, 5, 6),
    ),
    Command(
        "prune",
        "aitrade_cli.commands.prune:prune",
        "Remove units or weights that a model can do without",
        panel="Shrink and speed up",
        example="aitrade prune fixtures/models/lstm.pt --structured 0.5",
        exit_codes=(0, 1, 2, 3, 4, 5, 6),
    ),
    Command(
        "distill",
        "aitrade_cli.commands.distill:distill",
        "Train a smaller model on a large one's answers",
        panel="Shrink and speed up",
        example="aitrade distill fixtures/models/lstm.pt --student tcn --epochs 1 -o student.pt",
        exit_codes=(0, 1, 2, 3, 4, 5, 6),
    ),
    Command(
        "export-onnx",
        "aitrade_cli.commands.export_onnx:export_onnx",
        "Write a model as ONNX, verified against its source at many shapes",
        panel="Shrink and speed up",
        example="aitrade export-onnx fixtures/models/transformer.pt -o transformer.onnx",
        exit_codes=(0, 1, 2, 3, 4, 6),
    ),
    Command(
        "optimize",
        "aitrade_cli.commands.optimize:optimize",
        "Search every road at once for the fastest model that trades the same",
        panel="Shrink and speed up",
        example="aitrade optimize fixtures/models/mlp.pt --max-flips 1% --budget 30s --trials 2",
        exit_codes=(0, 1, 2, 3, 4, 5, 6, 130),
    ),
    Command(
        "train",
        "aitrade_cli.commands.train:train",
        "Train a network on bars, every optimisation a flag, judged on bars it never saw",
        panel="Train",
        example="aitrade train --arch mlp --data fixtures/bars/eurusd_1h.parquet --epochs 1",
        exit_codes=(0, 1, 2, 3, 4, 5, 6, 130),
    ),
    Command(
        "search",
        "aitrade_cli.commands.search:search",
        "Try many settings of a recipe, stop the hopeless early, keep the best",
        panel="Train",
        example="aitrade search fixtures/recipes/quick.toml --trials 3 --maximize sharpe",
        exit_codes=(0, 1, 2, 3, 4, 5, 6, 130),
    ),
    Command(
        "replay create",
        "aitrade_cli.commands.replay_create:replay_create",
        "Make an empty store with the fields that you name",
        panel="Train",
        example="aitrade replay create buffer --obs 64:float32 --act 1:int64 --capacity 5M",
        exit_codes=(0, 2, 3, 4, 6),
    ),
    Command(
        "replay import",
        "aitrade_cli.commands.replay_import:replay_import",
        "Take recorded experience into a store",
        panel="Train",
        example="aitrade replay import cartpole fixtures/rollouts/cartpole.npz",
        exit_codes=(0, 2, 3, 4, 5, 6),
    ),
    Command(
        "replay info",
        "aitrade_cli.commands.replay_info:replay_info",
        "Show what a store holds and how it is packed",
        panel="Train",
        example="aitrade replay info fixtures/rollouts/cartpole",
        exit_codes=(0, 2, 3, 4, 6),
    ),
    Command(
        "replay verify",
        "aitrade_cli.commands.replay_verify:replay_verify",
        "Prove every byte of a store, and name what is damaged",
        panel="Train",
        example="aitrade replay verify fixtures/rollouts/cartpole",
        exit_codes=(0, 1, 2, 3, 4, 6),
    ),
    Command(
        "replay repair",
        "aitrade_cli.commands.replay_repair:replay_repair",
        "Save everything whole of a damaged store",
        panel="Train",
        example="aitrade replay repair fixtures/rollouts/cartpole",
        exit_codes=(0, 2, 3, 4, 6),
    ),
    Command(
        "replay compact",
        "aitrade_cli.commands.replay_compact:replay_compact",
        "Rewrite a store so that it holds live rows only, packed tightly",
        panel="Train",
        example="aitrade replay compact fixtures/rollouts/cartpole",
        exit_codes=(0, 2, 3, 4, 6),
    ),
    Command(
        "replay sample",
        "aitrade_cli.commands.replay_sample:replay_sample",
        "Draw a batch out of a store",
        panel="Train",
        example="aitrade replay sample fixtures/rollouts/cartpole --batch 256 -o batch.npz",
        exit_codes=(0, 2, 3, 4, 6),
    ),
    Command(
        "replay export",
        "aitrade_cli.commands.replay_export:replay_export",
        "Write every transition of a store as Parquet or .npz",
        panel="Train",
        example="aitrade replay export fixtures/rollouts/cartpole -o all.parquet",
        exit_codes=(0, 2, 3, 4, 6),
    ),
    Command(
        "replay bench",
        "aitrade_cli.commands.replay_bench:replay_bench",
        "Time the store against other libraries on this machine",
        panel="Train",
        example="aitrade replay bench --against cpprb,torchrl,sb3 --rows 20k --rounds 10",
        exit_codes=(0, 2, 3, 4, 5),
    ),
    Command(
        "tune-system",
        "aitrade_cli.commands.tune_system:tune_system",
        "Tune this host: plan, apply, prove, verify and undo",
        panel="Run",
        example="aitrade tune-system --purpose inference",
        exit_codes=(0, 1, 2, 3, 4, 5, 6),
    ),
    Command(
        "check-all",
        "aitrade_cli.commands.check_all:check_all",
        "Measure every optimisation of the catalogue on this machine",
        panel="Prove",
        example="aitrade check-all --only G1 --json",
        exit_codes=(0, 1, 2, 3, 4),
    ),
)
