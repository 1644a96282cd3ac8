"""What a host is, as far as a setting's rule asks. All of it read below a root."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aitrade_cli.system.host import cores_within, parse_cpuinfo
from aitrade_cli.system.tuning.cgroups import Group, read_group
from aitrade_cli.system.tuning.child import mapped
from aitrade_cli.system.tuning.gpus import Gpu, read_gpus
from aitrade_cli.system.tuning.topology import Topology, read_topology
from aitrade_cli.system.tuning.tree import Tree

CHILD: Final = (sys.executable, "-P", "-m", "aitrade_cli.system.tuning.child")
CHILD_SECONDS: Final = 120.0
# One value of each part of the kernel that containers take away or share with their host.
SENTINELS: Final = {
    "sysctl": "/proc/sys/vm/swappiness",
    "network": "/proc/sys/net/ipv4/tcp_rmem",
    "sysfs": "/sys/kernel/mm/transparent_hugepage/enabled",
}
LIBRARY_FOLDERS: Final = (
    "/usr/lib/x86_64-linux-gnu",  # Debian and Ubuntu, which other launchers do not look in
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
)


@dataclass(frozen=True, slots=True)
class Facts:
    """One host. `None` where it does not say; the tree is kept to read single values from."""

    tree: Tree
    system: str
    release: str
    cpu: str
    vendor: str
    instructions: tuple[str, ...]
    topology: Topology
    group: Group
    memory_bytes: int
    swap_bytes: int
    closed: Mapping[str, str]  # part of the kernel that may not be set, and why
    gpus: tuple[Gpu, ...]
    torch: str | None
    threads: int | None  # that torch uses where nothing says how many
    mapped: tuple[str, ...]  # OpenMP runtimes, allocators and C libraries in a process with torch
    environment: Mapping[str, str]
    limits: Mapping[str, tuple[int, int]]  # soft and hard; -1 is none
    boot_id: str

    @property
    def openmp(self) -> str | None:
        """The OpenMP runtime that is really mapped: ``gomp``, ``iomp5`` or ``omp``."""
        names = [name for name in self.mapped if "omp" in name]
        return None if not names else next(k for k in ("gomp", "iomp5", "omp") if k in names[0])

    @property
    def glibc(self) -> bool:
        """Whether ``malloc`` is glibc's: its library is mapped, and no other allocator."""
        replaced = any("malloc" in name for name in self.mapped)
        return any(name.startswith("libc") for name in self.mapped) and not replaced

    @property
    def cores(self) -> int:
        """Cores worth a thread each: real ones that may be used, within the quota, rounded up."""
        return cores_within(self.topology.physical, self.group.quota_cores)

    @property
    def memory_usable_bytes(self) -> int:
        return min(self.memory_bytes, self.group.memory_bytes or self.memory_bytes)

    def library(self, stem: str) -> str | None:
        """Path of a shared library in the usual folders, any version."""
        for folder in LIBRARY_FOLDERS:
            for name in self.tree.names(folder):
                if name.startswith(f"{stem}.so"):
                    return f"{folder}/{name}"
        return None


def read_facts(tree: Tree) -> Facts:
    """Read a host. On this machine it starts one process that imports torch, which takes seconds.

    Raises:
        NoSuchRoot: never here; the tree was opened before.
    """
    name, instructions = parse_cpuinfo(tree.text("/proc/cpuinfo") or "")
    memory = meminfo(tree)
    child = (
        ask_child({"OMP_NUM_THREADS": None, "MKL_NUM_THREADS": None}) if tree.real_kernel else {}
    )
    libraries = child.get("mapped") or mapped(tree.text("/proc/self/maps") or "")
    return Facts(
        tree=tree,
        system=system_of(tree),
        release=tree.text("/proc/sys/kernel/osrelease") or "",
        cpu=name,
        vendor=vendor_of(tree.text("/proc/cpuinfo") or ""),
        instructions=instructions,
        topology=read_topology(tree),
        group=read_group(tree),
        memory_bytes=memory.get("MemTotal", 0),
        swap_bytes=memory.get("SwapTotal", 0),
        closed=closed_parts(tree),
        gpus=read_gpus(tree),
        torch=child.get("torch"),
        threads=child.get("threads"),
        mapped=tuple(libraries),
        environment=dict(os.environ) if tree.real else environment_of(tree),
        limits=limits_of(tree),
        boot_id=tree.text("/proc/sys/kernel/random/boot_id") or "",
    )


def ask_child(environment: Mapping[str, str | None], *words: str) -> dict[str, Any]:
    """What a fresh process with these variables finds; its last words as ``failed`` otherwise.

    Args:
        environment: variables beside our own; `None` takes one away.
        words: options of the child.
    """
    merged = {**os.environ, **environment}
    try:
        done = subprocess.run(
            [*CHILD, *words],
            env={name: value for name, value in merged.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=CHILD_SECONDS,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        said = [line.strip() for line in error.stderr.splitlines() if line.strip()]
        how = f"signal {-error.returncode}" if error.returncode < 0 else f"code {error.returncode}"
        return {"failed": "; ".join([f"ended by {how}", *said[-1:]])}
    except subprocess.TimeoutExpired:
        return {"failed": f"gave no answer in {CHILD_SECONDS:g} s"}
    except (OSError, ValueError, IndexError) as error:
        return {"failed": f"gave no answer: {error}"}


def system_of(tree: Tree) -> str:
    for line in (tree.text("/etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system() if tree.real else "unknown"


def vendor_of(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        if line.startswith("vendor_id"):
            return line.partition(":")[2].strip()
    return ""


def meminfo(tree: Tree) -> dict[str, int]:
    """Bytes by name."""
    found: dict[str, int] = {}
    for line in (tree.text("/proc/meminfo") or "").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name] = int(words[0]) * (1024 if len(words) > 1 else 1)
    return found


def closed_parts(tree: Tree) -> dict[str, str]:
    """Parts of the kernel that may not be set from here, each with the reason it gives.

    A container is known by what it may not do. The files that mark one say little: they
    are there in virtual machines whose kernel is all ours, and missing in others.
    """
    reasons = {part: tree.why_not_writable(name) for part, name in SENTINELS.items()}
    return {part: reason for part, reason in reasons.items() if reason is not None}


def environment_of(tree: Tree) -> dict[str, str]:
    """Variables that every login of a tree gets."""
    return parse_environment(tree.text("/etc/environment") or "")


def parse_environment(text: str) -> dict[str, str]:
    """``KEY=value`` lines; comments and what is no assignment are passed over."""
    pairs = (
        line.strip().removeprefix("export ").partition("=")
        for line in text.splitlines()
        if not line.lstrip().startswith("#")
    )
    return {key: value.strip().strip("\"'") for key, equals, value in pairs if equals and key}


def limits_of(tree: Tree) -> dict[str, tuple[int, int]]:
    """Soft and hard limits of this process, or of a tree's ``/proc/self/limits``."""
    if tree.real_kernel:
        numbers = {"nofile": resource.RLIMIT_NOFILE, "core": resource.RLIMIT_CORE}
        if sys.platform == "linux":
            numbers["memlock"] = resource.RLIMIT_MEMLOCK
        return {name: resource.getrlimit(number) for name, number in numbers.items()}
    names = {
        "Max open files": "nofile",
        "Max locked memory": "memlock",
        "Max core file size": "core",
    }
    found: dict[str, tuple[int, int]] = {}
    for line in (tree.text("/proc/self/limits") or "").splitlines():
        for words, name in names.items():
            if line.startswith(words):
                soft, hard = (
                    -1 if word == "unlimited" else int(word)
                    for word in line.removeprefix(words).split()[:2]
                )
                found[name] = (soft, hard)
    return found
