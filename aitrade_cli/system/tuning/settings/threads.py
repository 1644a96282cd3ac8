"""Rows 1 to 3 and 10 to 18: threads, their runtimes, and switches of the math libraries."""
# long because it is one table: a reader looks one row up

from __future__ import annotations

from typing import Final

from aitrade_cli.system.tuning.facts import Facts
from aitrade_cli.system.tuning.settings.kinds import Purpose, Setting, Whole, Wish, Words

PYTORCH_GUIDE: Final = "https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html"
LIBGOMP: Final = "https://gcc.gnu.org/onlinedocs/libgomp/Environment-Variables.html"
ONEDNN: Final = "https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html"
MOST_THROTTLED: Final = 0.05  # of accounting periods, before a quota counts as too small
CAPABILITIES: Final = {"avx512f": "avx512", "avx2": "avx2"}


def thread_budget(facts: Facts, purpose: Purpose) -> int:
    """Threads for one process: the cores that it really gets, or one where calls are small."""
    return facts.cores if purpose == "train" else 1


def omp_threads(facts: Facts, purpose: Purpose, _: str) -> Wish:
    budget = thread_budget(facts, purpose)
    quota = facts.group.quota_cores
    limit = "no CPU quota" if quota is None else f"a quota of {quota:g} cores"
    cores = f"{facts.topology.physical} real cores, {limit}"
    if purpose != "train":
        return Wish("1", f"calls at batch 1 are too small to share; {cores}")
    return Wish(str(budget), f"{cores}; take one off for each busy loader process")


def mkl_threads(facts: Facts, _: Purpose, __: str) -> Wish:
    found = facts.environment.get("MKL_NUM_THREADS")
    if found is None:
        return Wish(None, "follows OMP_NUM_THREADS by itself")
    return Wish(None, f"set to {found}; unset it, or it hides the thread budget")


def quota(facts: Facts, _: Purpose, __: str) -> Wish:
    share = facts.group.throttled_share
    if facts.group.quota_cores is None:
        return Wish(None, "no CPU quota")
    if share is not None and share > MOST_THROTTLED:
        return Wish(
            None,
            f"stopped in {share:.0%} of its periods",
            "raise the CPU limit of this container, or give it fewer threads",
        )
    return Wish(None, f"{facts.group.quota_cores:g} cores, hardly ever stopped")


def quota_now(facts: Facts, _: str) -> str | None:
    cores = facts.group.quota_cores
    return None if cores is None else f"{cores:g} cores"


def loader(facts: Facts, _: Purpose, __: str) -> Wish:
    most = max(0, facts.cores - 1)
    return Wish(
        None,
        "belongs to the program: 0 for tensors that fit in memory",
        f"DataLoader(num_workers={most}) at the most; `aitrade profile` shows the wait for data",
    )


def wait_policy(facts: Facts, purpose: Purpose, _: str) -> Wish:
    found = facts.environment.get("OMP_WAIT_POLICY", "").upper()
    if found == "PASSIVE" and purpose != "train":
        return Wish(None, "PASSIVE puts threads to sleep between calls", "unset OMP_WAIT_POLICY")
    if found == "ACTIVE":
        return Wish(None, "ACTIVE burns the cores of neighbours", "unset OMP_WAIT_POLICY")
    return Wish(None, "the runtime's own short spin suits most hosts")


def proc_bind(facts: Facts, _: Purpose, __: str) -> Wish:
    if facts.topology.nodes > 1 and facts.group.quota_cores is None:
        return Wish("close", f"{facts.topology.nodes} memory nodes: threads stay near their data")
    return Wish(None, "binding to a shared core waits for whoever is on it")


def kmp(facts: Facts, _: Purpose, target: str) -> Wish:
    if facts.openmp is None:
        return Wish(None, "no OpenMP runtime was seen")
    if facts.openmp == "gomp":
        return Wish(None, f"libgomp is mapped, which never reads {target}")
    return Wish(None, f"lib{facts.openmp} is mapped and reads it; its default suits a shared host")


def dead_switch(facts: Facts, _: Purpose, target: str) -> Wish:
    if target in facts.environment:
        return Wish(None, "nothing reads it since MKL 2020.1", f"unset {target}")
    return Wish(None, "dead since MKL 2020.1")


def capability(facts: Facts, _: Purpose, target: str) -> Wish:
    found = facts.environment.get(target)
    if found is None:
        return Wish(None, "the library picks the best the processor has")
    best = next((name for flag, name in CAPABILITIES.items() if flag in facts.instructions), "")
    if best and best not in found.lower():
        return Wish(None, f"{found} holds back a processor with {best}", f"unset {target}")
    return Wish(None, f"{found} is what the processor has")


def low_precision(facts: Facts, _: Purpose, __: str) -> Wish:
    able = [name for name in ("avx512_bf16", "amx_bf16") if name in facts.instructions]
    if not able:
        return Wish(None, "this processor multiplies no bfloat16")
    return Wish(
        None,
        f"the processor has {able[0]}, but it changes numbers",
        "torch.set_float32_matmul_precision('medium'), after `aitrade quantize --bf16` agrees",
    )


def primitive_cache(_: Facts, __: Purpose, ___: str) -> Wish:
    return Wish("1024", "shapes that vary are compiled once each")


def denormals(facts: Facts, _: Purpose, __: str) -> Wish:
    if facts.vendor == "AuthenticAMD":
        return Wish(None, "AMD Zen multiplies denormals at full speed")
    return Wish(None, "changes numbers near zero", "torch.set_flush_denormal(True) in the program")


def variable(name: str) -> Setting:
    """A `KMP_*` variable, which only Intel's and LLVM's runtimes read."""
    return Setting(
        12,
        f"env.{name}",
        "Intel OpenMP's placement and spin",
        "cargo cult",
        "environment",
        name,
        lambda facts, purpose, _: kmp(facts, purpose, name),
        "never set: torch's wheels for Linux bring libgomp",
        "none with libgomp",
        PYTORCH_GUIDE,
        "hides that it has no reader",
    )


def removed(name: str) -> Setting:
    return Setting(
        14,
        f"env.{name}",
        "made MKL take Intel's road on AMD",
        "cargo cult",
        "environment",
        name,
        lambda facts, purpose, _: dead_switch(facts, purpose, name),
        "never set, to be removed",
        "none since MKL 2020.1",
        "https://www.intel.com/content/www/us/en/developer/tools/oneapi/onemkl.html",
        "none",
    )


def ceiling(name: str) -> Setting:
    return Setting(
        15,
        f"env.{name}",
        "highest instruction set that the library may use",
        "hygiene",
        "advice",
        name,
        lambda facts, purpose, _: capability(facts, purpose, name),
        "warn where it is set below what the processor has",
        "about half the speed is lost where a debugging session left it behind",
        ONEDNN,
        "none",
        look=lambda facts, _: facts.environment.get(name),
    )


SETTINGS: Final = (
    Setting(
        1,
        "env.OMP_NUM_THREADS",
        "threads of one operation",
        "proven",
        "environment",
        "OMP_NUM_THREADS",
        omp_threads,
        "real cores in the affinity mask, at most the CPU quota rounded up; 1 for small calls",
        "several times under a CPU quota or beside busy neighbours; none on a free host",
        "https://docs.kernel.org/scheduler/sched-bwc.html",
        "a program that has the host to itself loses where the budget is too small",
        Whole(1, 1024),
    ),
    Setting(
        2,
        "cgroup.cpu",
        "CPU quota, which no thread pool looks at",
        "proven",
        "advice",
        "cpu.max",
        quota,
        "warn where more than 5 % of the periods were cut short",
        "as the thread budget",
        "https://docs.kernel.org/admin-guide/cgroup-v2.html",
        "none",
        look=quota_now,
    ),
    Setting(
        3,
        "loader.workers",
        "processes that load batches",
        "situational",
        "advice",
        "num_workers",
        loader,
        "no more than cores - 1; 0 for tensors in memory",
        "large where the loop waits for data, a loss where it does not",
        PYTORCH_GUIDE,
        "each takes memory and a place in /dev/shm",
    ),
    Setting(
        10,
        "env.OMP_WAIT_POLICY",
        "whether idle threads spin or sleep",
        "situational",
        "advice",
        "OMP_WAIT_POLICY",
        wait_policy,
        "left unset; PASSIVE is warned of for inference, ACTIVE everywhere",
        "PASSIVE makes small calls several times slower",
        LIBGOMP,
        "none",
        look=lambda facts, _: facts.environment.get("OMP_WAIT_POLICY"),
    ),
    Setting(
        11,
        "env.OMP_PROC_BIND",
        "threads stay on their core",
        "situational",
        "environment",
        "OMP_PROC_BIND",
        proc_bind,
        "close on hosts with several memory nodes and no quota, else unset",
        "helps across memory nodes, hurts on shared cores",
        LIBGOMP,
        "a thread waits for a neighbour on its core",
        Words(("close", "spread")),
        ("train",),
    ),
    variable("KMP_AFFINITY"),
    variable("KMP_BLOCKTIME"),
    Setting(
        13,
        "env.MKL_NUM_THREADS",
        "threads of MKL alone",
        "cargo cult",
        "environment",
        "MKL_NUM_THREADS",
        mkl_threads,
        "left unset: MKL follows OMP_NUM_THREADS",
        "none",
        PYTORCH_GUIDE,
        "hides the thread budget",
    ),
    removed("MKL_DEBUG_CPU_TYPE"),
    removed("MKL_ENABLE_INSTRUCTIONS"),
    ceiling("ATEN_CPU_CAPABILITY"),
    ceiling("ONEDNN_MAX_CPU_ISA"),
    Setting(
        16,
        "torch.matmul_precision",
        "bfloat16 inside float32 products",
        "situational",
        "advice",
        "torch.set_float32_matmul_precision",
        low_precision,
        "only where the processor has it and the model still trades the same",
        "large for big products on processors with AMX",
        "https://docs.pytorch.org/docs/stable/generated/torch.set_float32_matmul_precision.html",
        "changes numbers",
    ),
    Setting(
        17,
        "env.ONEDNN_PRIMITIVE_CACHE_CAPACITY",
        "compiled oneDNN kernels that are kept",
        "situational",
        "environment",
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY",
        primitive_cache,
        "1024, when a measurement asks for it: only shapes that vary profit",
        "none with fixed shapes",
        "https://uxlfoundation.github.io/oneDNN/dev_guide_primitive_cache.html",
        "memory",
        Whole(1, 65536),
        (),
    ),
    Setting(
        18,
        "torch.flush_denormal",
        "numbers near zero become zero",
        "situational",
        "advice",
        "torch.set_flush_denormal",
        denormals,
        "Intel only, in the program",
        "none on AMD Zen 4",
        "https://docs.pytorch.org/docs/stable/generated/torch.set_flush_denormal.html",
        "changes numbers",
    ),
)
