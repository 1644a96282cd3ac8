"""Every promise of the catalogue, a table for each letter."""
# long because it is one table: a reader looks one row up

from __future__ import annotations

from typing import Final

from aitrade_cli.catalog.kinds import Claim, Row

MODELS: Final = (
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
)

REPLAY: Final = (
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
)

COMPILATION: Final = (
    Row(
        "C1",
        "torch.compile (Inductor) and ahead-of-time packages",
        "compile",
        "aitrade_cli.checks.compile:ahead_of_time",
        "aitrade compile fixtures/models/mlp.pt --backend aoti --precision float32 --batch 1"
        " -o mlp.pt2",
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
        "aitrade compile fixtures/models/gru.pt --backend onnxruntime,openvino --batch 1"
        " -o gru.fast.onnx",
    ),
)

SYSTEM: Final = (
    Row(
        "S1",
        "CPU profiling: cProfile, py-spy, scalene",
        "profile",
        "aitrade_cli.checks.profile:collectors_agree",
        "aitrade profile fixtures/scripts/slow_features.py --collect cprofile -- --bars 1500",
    ),
    Row(
        "S2",
        "GPU profiling: torch.profiler, Nsight Systems where installed",
        "profile",
        "aitrade_cli.checks.profile:kernels_are_seen",
        "aitrade profile fixtures/scripts/train_lstm.py --collect torch,nsys,nvml -- --steps 10",
    ),
    Row(
        "S3",
        "Memory profiling: CPU and GPU, peak and by line",
        "profile",
        "aitrade_cli.checks.profile:memory_is_found_by_line",
        "aitrade profile fixtures/scripts/slow_csv.py --collect hooks,memray -- --copies 5",
    ),
    Row(
        "S4",
        "Bottlenecks found automatically, each with its remedy",
        "profile",
        "aitrade_cli.checks.profile:bottlenecks_are_named",
        "aitrade profile --try-fixes fixtures/scripts/slow_csv.py -- --copies 5",
    ),
    Row(
        "S5",
        "Live metrics while a job runs, also for a monitoring system (OpenMetrics)",
        "profile",
        "aitrade_cli.checks.live:watching_is_cheap",
        "aitrade profile --live --pid $$ --seconds 1 --openmetrics metrics/aitrade.prom",
    ),
    Row(
        "S6",
        "Fast logging: structured, asynchronous, off the hot path",
        "check-all",
        "aitrade_cli.checks.logging:calls_do_not_wait",
        "aitrade check-all --only S6 --quick",
    ),
    Row(
        "S7",
        "Environment variables: OMP, MKL, KMP, allocator, CUDA allocator",
        "tune-system",
        "aitrade_cli.checks.tune:allocator_plan_pays",
        "aitrade tune-system --only env --emit env",
    ),
    Row(
        "S8",
        "Limits (ulimit), kernel parameters (sysctl), disk I/O, memory and swap (swappiness)",
        "tune-system",
        "aitrade_cli.checks.tune:applied_and_undone",
        "aitrade tune-system --only vm,limit,disk --root fixtures/hosts/debian",
    ),
    Row(
        "S9",
        "MKL, oneDNN, OpenMP threads and affinity",
        "tune-system",
        "aitrade_cli.checks.tune:budget_pays_under_a_quota",
        "aitrade tune-system --purpose inference --only 1,10,11,12,13",
    ),
    Row(
        "S10",
        "Parallel preprocessing over processes",
        "check-all",
        "aitrade_cli.checks.parallel:features_are_spread",
        "aitrade check-all --only S10 --quick",
    ),
    Row(
        "S11",
        "JIT for the hot numeric paths",
        "check-all",
        "aitrade_cli.checks.rolling:loops_are_compiled",
        "aitrade check-all --only S11 --quick",
        Claim(1.7, 0.0),
    ),
)

TRAINING: Final = (
    Row(
        "T1",
        "Gradient accumulation: large batches in small memory, equal to the whole step",
        "train",
        "aitrade_cli.checks.train:steps_in_parts_are_whole",
        "aitrade train --arch mlp --data fixtures/bars/eurusd_1h.parquet --epochs 1 --accumulate 8",
        Claim(1.5, 0.0),
    ),
    Row(
        "T2",
        "Mixed precision: bfloat16, float16 with loss scaling, float32 master weights",
        "train",
        "aitrade_cli.checks.train:half_the_bits",
        "aitrade train --arch mlp --data fixtures/bars/eurusd_1h.parquet --epochs 1 --amp auto",
        Claim(2.3, 0.4),
    ),
    Row(
        "T3",
        "Model offloading: weights, gradients and moments in main memory between uses",
        "train",
        "aitrade_cli.checks.train_state:offloaded_weights_learn_the_same",
        "aitrade train --arch mlp --data fixtures/bars/eurusd_1h.parquet --epochs 1"
        " --devices 2 --shard full --offload -o offloaded.pt",
    ),
    Row(
        "T4",
        "Checkpoints: saved while training goes on, atomic, checked, exact to resume",
        "train",
        "aitrade_cli.checks.train_state:checkpoints_do_not_stall",
        "aitrade train --arch mlp --data fixtures/bars/eurusd_1h.parquet --epochs 1 --run-dir run",
    ),
    Row(
        "T5",
        "Activation checkpointing: activations freed and computed again going back",
        "train",
        "aitrade_cli.checks.train:activations_are_made_twice",
        "aitrade train --arch mlp --data fixtures/bars/eurusd_1h.parquet --epochs 1"
        " --activation-checkpointing",
    ),
    Row(
        "T6",
        "Learning-rate schedules: OneCycle, cosine with warm restarts, warm-up",
        "train",
        "aitrade_cli.checks.train:rates_are_their_curves",
        "aitrade train --arch mlp --data fixtures/bars/eurusd_1h.parquet --epochs 1"
        " --schedule onecycle",
    ),
    Row(
        "T7",
        "Data parallel (DDP): processes share each batch and stay in step, or all end",
        "train",
        "aitrade_cli.checks.train_state:two_processes_learn_as_one",
        "aitrade train --arch mlp --data fixtures/bars/eurusd_1h.parquet --epochs 1 --devices 2"
        " -o shared.pt",
    ),
    Row(
        "T8",
        "Sharding for models larger than one card: ZeRO-1, FSDP2, and DeepSpeed where installed",
        "train",
        "aitrade_cli.checks.train_state:shards_learn_as_the_whole",
        "aitrade train --arch mlp --data fixtures/bars/eurusd_1h.parquet --epochs 1"
        " --devices 2 --shard full -o sharded.pt",
    ),
    Row(
        "T9",
        "Early stopping over several criteria, financial ones included, luck taken off",
        "train",
        "aitrade_cli.checks.train:luck_is_not_an_edge",
        "aitrade train --arch mlp --data fixtures/bars/eurusd_1h.parquet --epochs 1"
        " --early-stop 'sharpe:max:patience=5'",
    ),
    Row(
        "T10",
        "LoRA fine-tuning, mergeable into the base weights",
        "train",
        "aitrade_cli.checks.train_extras:adapters_are_proven",
        "aitrade train fixtures/recipes/quick.toml --lora r=8 --base fixtures/models/gru.pt"
        " -o gru.tuned.pt",
    ),
    Row(
        "T11",
        "HOGWILD! lock-free parallel training in shared memory",
        "train",
        "aitrade_cli.checks.train_extras:processes_do_not_wait",
        "aitrade train fixtures/recipes/quick.toml --hogwild 2 --learning-rate 0.05 -o wild.pt",
    ),
    Row(
        "T12",
        "Data loading: workers, prefetch and shared memory, chosen by measurement",
        "train",
        "aitrade_cli.checks.train_extras:loader_is_found",
        "aitrade train fixtures/recipes/quick.toml --workers auto --dry-run",
    ),
    Row(
        "T13",
        "Memory hygiene: views instead of copies, collection between passes",
        "check-all",
        "aitrade_cli.checks.train:memory_is_kept_clean",
        "aitrade check-all --only T13 --quick",
    ),
    Row(
        "T14",
        "Hyper-parameter search for quality and for speed (Optuna; Ray for many machines)",
        "search",
        "aitrade_cli.checks.train_extras:search_goes_on",
        "aitrade search fixtures/recipes/quick.toml --trials 3 --minimize latency -o fast.toml",
    ),
    Row(
        "T15",
        "Batch-size finder: the largest that fits, the fastest, multiples of eight",
        "train",
        "aitrade_cli.checks.train_batches:batches_are_found",
        "aitrade train --arch mlp --data fixtures/bars/eurusd_1h.parquet --epochs 1"
        " --batch auto --dry-run",
    ),
    Row(
        "T16",
        "torch.vmap: vectorised per-sample and ensemble work",
        "check-all",
        "aitrade_cli.checks.train_extras:many_at_once",
        "aitrade check-all --only T16 --quick",
    ),
)

GENERAL: Final = (
    Row(
        "G1",
        "NumPy throughout the data path: vectorised, zero-copy to and from torch",
        "check-all",
        "aitrade_cli.checks.numpy_path:windows_are_views",
        "aitrade check-all --only G1",
    ),
)

ROWS: Final = (*MODELS, *REPLAY, *COMPILATION, *SYSTEM, *TRAINING, *GENERAL)
