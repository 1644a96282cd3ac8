"""Rows 41 and 42: switches of a debugging session, and what profilers may see."""

from __future__ import annotations

from typing import Final

from aitrade_cli.system.tuning.facts import Facts
from aitrade_cli.system.tuning.settings.kinds import Purpose, Setting, Wish

ENVIRONMENT: Final = "https://docs.pytorch.org/docs/stable/torch_environment_variables.html"
KERNEL: Final = "https://docs.kernel.org/admin-guide/sysctl/kernel.html"
# Variable, and the values in which it does no harm.
DEBUG_SWITCHES: Final = {
    "CUDA_LAUNCH_BLOCKING": ("0",),
    "NCCL_DEBUG": ("WARN", "VERSION"),
    "PYTORCH_NO_CUDA_MEMORY_CACHING": ("0",),
    "PYTHONMALLOC": ("pymalloc", "malloc"),
    "PYTHONDEVMODE": ("",),
    "PYTHONASYNCIODEBUG": ("", "0"),
    "TORCH_LOGS": ("",),
    "TORCH_CPP_LOG_LEVEL": ("ERROR", "WARNING", "FATAL"),
    "TORCH_SHOW_CPP_STACKTRACES": ("0",),
    "TORCH_DISTRIBUTED_DEBUG": ("OFF",),
    "MALLOC_CHECK_": ("0",),
    "MALLOC_PERTURB_": ("0",),
    "DNNL_VERBOSE": ("0", "none"),
    "ONEDNN_VERBOSE": ("0", "none"),
    "MKL_VERBOSE": ("0",),
    "OMP_DISPLAY_ENV": ("FALSE", "false"),
}


def left_on(facts: Facts) -> list[str]:
    """Switches of a debugging session that are on, as `NAME=value`."""
    return [
        f"{name}={facts.environment[name]}"
        for name, harmless in DEBUG_SWITCHES.items()
        if name in facts.environment and facts.environment[name] not in harmless
    ]


def leftovers(facts: Facts, _: Purpose, __: str) -> Wish:
    found = left_on(facts)
    if not found:
        return Wish(None, f"none of {len(DEBUG_SWITCHES)} debug switches is on")
    names = " ".join(text.partition("=")[0] for text in found)
    return Wish(
        None, "left over from debugging; some cost more than all else wins", f"unset {names}"
    )


def tracing(name: str, wanted: str, what: str) -> Setting:
    place = f"/proc/sys/kernel/{name.replace('.', '/')}"

    def rule(facts: Facts, _: Purpose, __: str) -> Wish:
        found = facts.tree.value(place)
        if found in {None, "0", "-1", wanted}:
            return Wish(None, "profilers see enough")
        return Wish(
            None,
            f"{found} hides {what} from users",
            f"sysctl kernel.{name}={wanted}, while you profile",
        )

    return Setting(
        42,
        f"kernel.{name}",
        f"who may see {what}",
        "hygiene",
        "advice",
        f"kernel.{name}",
        rule,
        "reported; opened by hand while profiling",
        "profilers without root",
        KERNEL,
        "safety",
        look=lambda facts, _: facts.tree.value(place),
    )


SETTINGS: Final = (
    Setting(
        41,
        "env.debug",
        "debug switches that were left on",
        "proven",
        "advice",
        "environment",
        leftovers,
        "each that is on is named, and how to unset it",
        "from nothing to most of the time, depending on the switch",
        ENVIRONMENT,
        "none",
        look=lambda facts, _: " ".join(left_on(facts)) or None,
    ),
    tracing("perf_event_paranoid", "1", "performance counters"),
    tracing("kptr_restrict", "0", "names of kernel functions"),
    tracing("yama.ptrace_scope", "0", "other processes of theirs"),
)
