"""Rows 26 to 30, 43 and 44: frequency, sleep, memory nodes, and what only a boot changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aitrade_cli.system.tuning.facts import Facts
from aitrade_cli.system.tuning.settings.kinds import Purpose, Setting, Whole, Wish, Words
from aitrade_cli.system.tuning.topology import CPUS

SYSCTL_KERNEL: Final = "https://docs.kernel.org/admin-guide/sysctl/kernel.html"
SYSCTL_VM: Final = "https://docs.kernel.org/admin-guide/sysctl/vm.html"
CLOCKSOURCE: Final = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
SLOW_CLOCKS: Final = ("hpet", "acpi_pm", "jiffies")
BOOT_WORDS: Final = ("mitigations", "isolcpus", "nohz_full", "rcu_nocbs", "transparent_hugepage")


def policies(facts: Facts) -> Sequence[str]:
    """Frequency policies; none in a virtual machine."""
    return [name for name in facts.tree.names(f"{CPUS}/cpufreq") if name.startswith("policy")]


def preferences(facts: Facts) -> Sequence[str]:
    place = f"{CPUS}/cpufreq/{{}}/energy_performance_preference"
    return [name for name in policies(facts) if facts.tree.exists(place.format(name))]


def governor(facts: Facts, _: Purpose, target: str) -> Wish:
    offered = facts.tree.text(f"{CPUS}/cpufreq/{target}/scaling_available_governors") or ""
    if offered and "performance" not in offered.split():
        return Wish(None, f"only {offered} are offered")
    return Wish("performance", "no wait for the clock to rise after a pause")


def preference(facts: Facts, _: Purpose, target: str) -> Wish:
    folder = f"{CPUS}/cpufreq/{target}"
    offered = facts.tree.text(f"{folder}/energy_performance_available_preferences") or ""
    if "performance" not in offered.split():
        return Wish(None, "performance is not offered")
    return Wish("performance", "the processor's own governor prefers speed")


def numa_balancing(facts: Facts, _: Purpose, __: str) -> Wish:
    if facts.topology.nodes < 2:
        return Wish(None, "one memory node: nothing to balance")
    return Wish("0", f"{facts.topology.nodes} memory nodes: pages of pinned threads stay put")


def zone_reclaim(_: Facts, __: Purpose, ___: str) -> Wish:
    return Wish("0", "free memory of another node is better than an empty cache")


def idle_states(facts: Facts, _: Purpose, __: str) -> Wish:
    if not facts.tree.exists(f"{CPUS}/cpu0/cpuidle/state1"):
        return Wish(None, "this kernel has no idle states to leave")
    return Wish(
        None,
        "the first call after a pause waits for the core to wake",
        "hold /dev/cpu_dma_latency open with 0 in the service that answers",
    )


def smt(facts: Facts, _: Purpose, __: str) -> Wish:
    if facts.topology.threads_per_core > 1:
        return Wish(None, "left on: the thread budget counts real cores already")
    return Wish(None, "one thread a core")


def clocksource(facts: Facts, _: Purpose, __: str) -> Wish:
    found = facts.tree.value(CLOCKSOURCE)
    if found in SLOW_CLOCKS:
        return Wish(None, f"reading {found} takes microseconds", "boot with `tsc=reliable`")
    return Wish(None, f"{found} is read without a system call")


def boot_line(facts: Facts, purpose: Purpose, _: str) -> Wish:
    if purpose == "train":
        return Wish(
            None, "nothing on it makes training faster; `mitigations=off` gives away safety"
        )
    last = facts.topology.online - 1
    if last < 3:
        return Wish(None, "too few cores to set any aside")
    cores = f"{max(1, facts.topology.online // 2)}-{last}"
    return Wish(
        None,
        "cores set aside answer without jitter; the line is yours to write",
        f"isolcpus={cores} nohz_full={cores} rcu_nocbs={cores}",
    )


def boot_words(facts: Facts, _: str) -> str | None:
    words = (facts.tree.text("/proc/cmdline") or "").split()
    found = [word for word in words if word.partition("=")[0] in BOOT_WORDS]
    return " ".join(found) or None


SETTINGS: Final = (
    Setting(
        26,
        "kernel.numa_balancing",
        "kernel moves pages after threads",
        "situational",
        "sysctl",
        "kernel.numa_balancing",
        numa_balancing,
        "0 on hosts with several memory nodes that pin their threads",
        "some per cent on such hosts; none on one node",
        SYSCTL_KERNEL,
        "programs that do not pin lose",
        Whole(0, 2),
        ("train",),
    ),
    Setting(
        27,
        "vm.zone_reclaim_mode",
        "empty a node's cache before asking another node",
        "hygiene",
        "sysctl",
        "vm.zone_reclaim_mode",
        zone_reclaim,
        "0, which is the default",
        "avoids stalls that an old profile may have left",
        SYSCTL_VM,
        "none",
        Whole(0, 7),
    ),
    Setting(
        28,
        "cpu.governor",
        "how fast the clock follows the work",
        "proven",
        "sysfs",
        f"{CPUS}/cpufreq/{{}}/scaling_governor",
        governor,
        "performance, where the kernel has a say: virtual machines have none",
        "latency of small calls after a pause, on bare metal",
        "https://docs.kernel.org/admin-guide/pm/cpufreq.html",
        "power",
        Words(("performance", "powersave", "schedutil", "ondemand", "conservative", "userspace")),
        targets=policies,
    ),
    Setting(
        28,
        "cpu.preference",
        "what the processor's own governor prefers",
        "proven",
        "sysfs",
        f"{CPUS}/cpufreq/{{}}/energy_performance_preference",
        preference,
        "performance, where it is offered",
        "as the governor",
        "https://docs.kernel.org/admin-guide/pm/intel_pstate.html",
        "power",
        Words(("default", "performance", "balance_performance", "balance_power", "power")),
        targets=preferences,
    ),
    Setting(
        29,
        "cpu.idle_states",
        "how deep idle cores sleep",
        "situational",
        "advice",
        "/dev/cpu_dma_latency",
        idle_states,
        "only for inference on bare metal, held by the service itself",
        "microseconds of the first call",
        "https://docs.kernel.org/admin-guide/pm/cpuidle.html",
        "power",
    ),
    Setting(
        30,
        "cpu.smt",
        "two threads on one core",
        "cargo cult",
        "sysfs",
        f"{CPUS}/smt/control",
        smt,
        "never switched: the thread budget counts real cores",
        "none beside the thread budget",
        "https://docs.kernel.org/admin-guide/hw-vuln/l1tf.html",
        "halves the host for everybody",
    ),
    Setting(
        43,
        "kernel.command_line",
        "what only a boot changes",
        "cargo cult",
        "advice",
        "/proc/cmdline",
        boot_line,
        "printed, never written",
        "jitter of isolated cores; none for training",
        "https://docs.kernel.org/admin-guide/kernel-parameters.html",
        "safety, and a host that may not boot",
        look=boot_words,
    ),
    Setting(
        44,
        "kernel.clocksource",
        "what `time()` reads",
        "hygiene",
        "advice",
        CLOCKSOURCE,
        clocksource,
        "reported where it is a slow one",
        "every time stamp",
        "https://docs.kernel.org/timers/timekeeping.html",
        "none",
        look=lambda facts, _: facts.tree.value(CLOCKSOURCE),
    ),
)
