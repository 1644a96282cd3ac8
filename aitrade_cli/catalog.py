"""The one list of what aitrade can do. Standard library only: `--help` reads it.

The command line, `check-all`, the reference pages, the README's table and the shell
completions are all built from these rows, so adding a row is all the registering there is.
"""
# long because it is one table: a reader looks one row up

from __future__ import annotations

from typing import Final, NamedTuple


class Command(NamedTuple):
    """One command of the program."""

    name: str  # what the user types; "group verb" where commands share a word
    target: str  # "module:function", imported only when the user types `name`
    summary: str  # one line, imperative, no full stop
    panel: str  # heading it sits under in `aitrade --help`
    example: str  # one line, run by the tests
    exit_codes: tuple[int, ...] = (0, 2, 3, 4)  # what it can end with, shown in its help


class Group(NamedTuple):
    """A word that several commands share: the `replay` of `aitrade replay create`."""

    name: str
    summary: str
    panel: str


class Claim(NamedTuple):
    """What the product's owner published for a row. Shown beside the measured, never used as it."""

    speedup: float | None = None  # times
    memory_saved: float | None = None  # share, 0..1


class Row(NamedTuple):
    """One promise of the catalogue; the id is stable."""

    id: str
    promise: str
    command: str  # the command that reaches it
    check: str  # "module:function" that `check-all` runs in a process of its own
    example: str  # one line that shows it, run by the tests
    claim: Claim = Claim()


PANELS: Final = ("Look", "Shrink and speed up", "Train", "Prove")

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
        example="aitrade distill fixtures/models/lstm.pt --student tcn --epochs 2 -o student.pt",
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
        "check-all",
        "aitrade_cli.commands.check_all:check_all",
        "Measure every optimisation of the catalogue on this machine",
        panel="Prove",
        example="aitrade check-all --only G1 --json",
        exit_codes=(0, 1, 2, 3, 4),
    ),
)

ROWS: Final = (
    Row(
        "M1",
        "Unstructured pruning: magnitude, global or per layer; N:M sparsity",
        "prune",
        "aitrade_cli.checks.prune:weights_are_zeroed_by_size",
        "aitrade prune fixtures/models/mlp.pt --sparsity 0.8 -o mlp.sparse.pt",
    ),
    Row(
        "M2",
        "Structured pruning: channels, heads, hidden units removed, dependencies followed",
        "prune",
        "aitrade_cli.checks.prune:units_are_removed",
        "aitrade prune fixtures/models/gru.pt --structured 0.5 -o gru.small.pt",
        Claim(1.2, 0.6),
    ),
    Row(
        "M3",
        "Dynamic pruning: a sparsity schedule during training",
        "prune",
        "aitrade_cli.checks.prune:sparsity_grows_while_training",
        "aitrade prune fixtures/models/mlp.pt --sparsity 0.8 --finetune --schedule cubic"
        " --epochs 2",
    ),
    Row(
        "M4",
        "Dynamic INT8 quantisation after training",
        "quantize",
        "aitrade_cli.checks.quantize:dynamic_int8",
        "aitrade quantize fixtures/models/lstm.pt --int8 --dynamic -o lstm.dynamic.onnx",
        Claim(3.1, 0.75),
    ),
    Row(
        "M5",
        "Static INT8 quantisation after training, calibrated on the user's data",
        "quantize",
        "aitrade_cli.checks.quantize:static_int8",
        "aitrade quantize fixtures/models/tcn.pt --int8 --static -o tcn.static.onnx",
        Claim(3.1, 0.75),
    ),
    Row(
        "M6",
        "INT4 weight-only quantisation",
        "quantize",
        "aitrade_cli.checks.quantize:int4_weights",
        "aitrade quantize fixtures/models/mlp.pt --int4 -o mlp.int4.onnx",
    ),
    Row(
        "M7",
        "float16 and bfloat16 weights",
        "quantize",
        "aitrade_cli.checks.quantize:half_precision",
        "aitrade quantize fixtures/models/mlp.pt --fp16 -o mlp.fp16.onnx",
    ),
    Row(
        "M8",
        "Quantisation-aware training where post-training falls short of the fidelity budget",
        "quantize",
        "aitrade_cli.checks.distill:rounding_is_learned",
        "aitrade quantize fixtures/models/mlp.pt --int4 --qat -o mlp.tuned.onnx",
    ),
    Row(
        "M9",
        "Knowledge distillation: logits, features and policies",
        "distill",
        "aitrade_cli.checks.distill:students_learn",
        "aitrade distill fixtures/models/mlp.pt --student mlp --epochs 2 -o mlp.student.pt",
    ),
    Row(
        "M11",
        "ONNX export with dynamic batch, verified against the source model",
        "export-onnx",
        "aitrade_cli.checks.export_onnx:export_agrees_at_every_shape",
        "aitrade export-onnx fixtures/models/gru.pt -o gru.onnx",
    ),
    Row(
        "M12",
        "Graph passes with torch.fx: Conv-BN folding, dead code, common sub-expressions, constants",
        "optimize",
        "aitrade_cli.checks.graph:folds_without_a_trace",
        "aitrade optimize fixtures/models/tcn.pt --graph-only -o tcn.graph.onnx",
    ),
    Row(
        "M13",
        "Light reference architectures for trading",
        "inspect",
        "aitrade_cli.checks.architectures:reference_models_trade",
        "aitrade inspect fixtures/models/tcn.pt",
    ),
    Row(
        "M14",
        "Automatic pipeline search under a fidelity budget",
        "optimize",
        "aitrade_cli.checks.optimize:search_beats_each_command",
        "aitrade optimize fixtures/models/gru.pt --max-flips 1% --budget 20s --trials 2",
    ),
    Row(
        "R1",
        "Disk-based buffer for capacities beyond memory",
        "replay sample",
        "aitrade_cli.checks.replay:store_beyond_memory",
        "aitrade replay sample fixtures/rollouts/cartpole --memory 1M -o few.npz",
        Claim(1.0, 0.90),
    ),
    Row(
        "R2",
        "Prioritised replay with importance-sampling correction",
        "replay sample",
        "aitrade_cli.checks.replay_sampling:draws_follow_the_priorities",
        "aitrade replay sample fixtures/rollouts/cartpole --batch 256 --prioritized -o drawn.npz",
        Claim(1.8, -0.10),
    ),
    Row(
        "R3",
        "Frame stacking and compression of states",
        "replay bench",
        "aitrade_cli.checks.replay_sampling:frames_are_packed",
        "aitrade replay bench --against '' --rows 2k --rounds 10 --frames synthetic",
    ),
    Row(
        "R4",
        "Policy-lag reduction: age-aware sampling and correction of stale experience",
        "check-all",
        "aitrade_cli.checks.replay_sampling:lag_is_weighed_and_corrected",
        "aitrade check-all --only R4 --quick",
    ),
    Row(
        "R5",
        "Variable batch sizes by complexity",
        "check-all",
        "aitrade_cli.checks.replay_sampling:batches_follow_the_noise",
        "aitrade check-all --only R5 --quick",
    ),
    Row(
        "R6",
        "State cache for deterministic environments",
        "check-all",
        "aitrade_cli.checks.replay_sampling:steps_are_remembered",
        "aitrade check-all --only R6 --quick",
    ),
    Row(
        "C1",
        "torch.compile (Inductor) and ahead-of-time packages",
        "compile",
        "aitrade_cli.checks.compile:ahead_of_time",
        "aitrade compile fixtures/models/mlp.pt --backend aoti --batch 1 -o mlp.pt2",
        Claim(1.7, 0.0),
    ),
    Row(
        "C2",
        "TorchScript: trace and freeze; torch.jit.script for hot functions",
        "compile",
        "aitrade_cli.checks.compile:scripted",
        "aitrade compile fixtures/models/mlp.pt --backend torchscript --batch 1 -o mlp.script.pt",
        Claim(1.7, 0.0),
    ),
    Row(
        "C3",
        "XLA",
        "check-all",
        "aitrade_cli.checks.compile:accelerated_linear_algebra",
        "aitrade check-all --only C3",
    ),
    Row(
        "C4",
        "cuDNN benchmark, tensor cores, TF32: set where they pay",
        "check-all",
        "aitrade_cli.checks.compile:gpu_switches",
        "aitrade check-all --only C4",
    ),
    Row(
        "C5",
        "ONNX Runtime, OpenVINO and TensorRT where installed; the winner chosen by measurement",
        "compile",
        "aitrade_cli.checks.compile:fastest_backend",
        "aitrade compile fixtures/models/gru.pt --backend onnxruntime,openvino -o gru.fast.onnx",
    ),
    Row(
        "G1",
        "NumPy throughout the data path: vectorised, zero-copy to and from torch",
        "check-all",
        "aitrade_cli.checks.numpy_path:windows_are_views",
        "aitrade check-all --only G1",
    ),
)

EXIT_CODES: Final = {
    0: "done",
    1: "it ran and the answer is no",
    2: "the command line was wrong",
    3: "a bug of aitrade's; a report is written and its path printed",
    4: "input that cannot be used",
    5: "this machine lacks something",
    6: "refused: would overwrite, or the file is unsafe",
    130: "interrupted",
    141: "the reader of stdout left",
}


def command_named(name: str) -> Command | None:
    """The row of a command, or None where there is none of that name."""
    return next((row for row in COMMANDS if row.name == name), None)
