"""Rows 19 to 25: GPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aitrade_cli.system.tuning.facts import Facts
from aitrade_cli.system.tuning.settings.kinds import Purpose, Setting, Wish, Words

CUDA_MEMORY: Final = "https://docs.pytorch.org/docs/stable/notes/cuda.html#memory-management"
CUDNN: Final = "https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html"
TF32: Final = "https://docs.pytorch.org/docs/stable/notes/cuda.html"
PERSISTENCE: Final = "https://docs.nvidia.com/deploy/driver-persistence/index.html"
EXPANDABLE: Final = "expandable_segments:True"
NO_GPU: Final = Wish(None, "no GPU on this host")


def with_gpu(rule: Callable[[Facts], Wish]) -> Callable[[Facts, Purpose, str], Wish]:
    return lambda facts, _, __: rule(facts) if facts.gpus else NO_GPU


def release(facts: Facts) -> tuple[int, ...]:
    """Torch's version as numbers; empty where it is not known."""
    plain = (facts.torch or "").partition("+")[0].split(".")
    return tuple(int(part) for part in plain[:2] if part.isdigit())


def expandable(name: str, *, recent: bool) -> Setting:
    def rule(facts: Facts) -> Wish:
        version = release(facts)
        if not version:
            return Wish(None, "torch was not seen")
        # 2.9 and 2.10 know the new name and ignore this setting in it.
        if (version >= (2, 11)) != recent:
            return Wish(None, f"torch {facts.torch} reads the other name")
        return Wish(EXPANDABLE, "shapes that vary leave no holes behind")

    return Setting(
        19,
        f"env.{name}",
        "GPU memory in segments that grow",
        "situational",
        "environment",
        name,
        with_gpu(rule),
        "on with a GPU; PYTORCH_ALLOC_CONF from torch 2.11 on, the CUDA name before",
        "avoids running out of memory where shapes vary; no speed",
        CUDA_MEMORY,
        "tensors that are shared between processes",
        Words((EXPANDABLE,)),
        ("train",),
        speed=False,
    )


def cudnn(_: Facts) -> Wish:
    return Wish(
        None,
        "pays for convolutions of fixed shape, not for LSTM or perceptrons",
        "torch.backends.cudnn.benchmark = True; `aitrade check-all --only C4` measures it",
    )


def tf32(facts: Facts) -> Wish:
    if not any(gpu.ampere for gpu in facts.gpus):
        return Wish(None, "needs an Ampere GPU or newer")
    return Wish(
        None,
        "changes the last digits, so the program decides",
        "torch.set_float32_matmul_precision('high'); `aitrade check-all --only C4` measures it",
    )


def persistence(facts: Facts) -> Wish:
    if all(gpu.persistent is not False for gpu in facts.gpus):
        return Wish(None, "the driver stays loaded, or does not say")
    return Wish(
        None,
        "the driver is loaded anew for each process, which takes seconds",
        "systemctl enable --now nvidia-persistenced",
    )


def clocks(facts: Facts) -> Wish:
    slowed = sorted({words for gpu in facts.gpus for words in gpu.slowed_by})
    if not slowed:
        return Wish(None, "not held back at the moment")
    return Wish(None, f"held back by {', '.join(slowed)}", "look at power, cooling and fans")


def near_gpu(facts: Facts) -> Wish:
    nodes = sorted({gpu.node for gpu in facts.gpus if gpu.node is not None})
    if facts.topology.nodes < 2 or not nodes:
        return Wish(None, "one memory node: everything is near")
    return Wish(
        None,
        f"the GPUs hang on memory node {', '.join(map(str, nodes))}",
        f"numactl --cpunodebind={nodes[0]} --membind={nodes[0]} python train.py",
    )


def gpu_words(facts: Facts, _: str) -> str | None:
    return f"{len(facts.gpus)} GPUs" if facts.gpus else None


SETTINGS: Final = (
    expandable("PYTORCH_ALLOC_CONF", recent=True),
    expandable("PYTORCH_CUDA_ALLOC_CONF", recent=False),
    Setting(
        20,
        "torch.cudnn_benchmark",
        "cuDNN searches the fastest kernel",
        "situational",
        "advice",
        "torch.backends.cudnn.benchmark",
        with_gpu(cudnn),
        "only for convolutions of fixed shape; measured by C4",
        "convolutions only",
        CUDNN,
        "results differ between runs",
    ),
    Setting(
        21,
        "torch.tf32",
        "float32 products on tensor cores",
        "situational",
        "advice",
        "torch.set_float32_matmul_precision",
        with_gpu(tf32),
        "Ampere and newer, where the model still trades the same; measured by C4",
        "large for big products",
        TF32,
        "changes numbers",
    ),
    Setting(
        22,
        "env.CUDA_DEVICE_MAX_CONNECTIONS",
        "queues to one GPU, and the knobs of NCCL",
        "cargo cult",
        "environment",
        "CUDA_DEVICE_MAX_CONNECTIONS",
        with_gpu(lambda _: Wish(None, "only tensor-parallel programs gain, and they set it")),
        "never set",
        "none on one GPU",
        "https://docs.nvidia.com/cuda/cuda-c-programming-guide/#env-vars",
        "none",
    ),
    Setting(
        23,
        "gpu.persistence",
        "driver stays loaded between processes",
        "situational",
        "advice",
        "nvidia-persistenced",
        with_gpu(persistence),
        "the daemon, not the old persistence mode",
        "seconds at each start",
        PERSISTENCE,
        "idle power",
        look=gpu_words,
    ),
    Setting(
        24,
        "gpu.clocks",
        "what holds the GPU's clock back",
        "hygiene",
        "advice",
        "clocks",
        with_gpu(clocks),
        "reported; clocks are never locked",
        "the share that was lost",
        "https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html",
        "none",
        look=gpu_words,
    ),
    Setting(
        25,
        "gpu.node",
        "the process runs near its GPU",
        "situational",
        "advice",
        "numactl",
        with_gpu(near_gpu),
        "numactl to the GPU's node where there are several",
        "copies between host and GPU",
        "https://docs.kernel.org/admin-guide/mm/numaperf.html",
        "none",
        look=gpu_words,
    ),
)
