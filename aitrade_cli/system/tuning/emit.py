"""The same plan as text, for hosts and containers that are built rather than changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aitrade_cli.errors import Usage
from aitrade_cli.system.tuning.dropins import ENVIRONMENT, SYSCTL, hard_beside
from aitrade_cli.system.tuning.plan import Line, Plan, setting_of, target_of

NAMESPACED: Final = ("net.ipv4.",)  # keys that a container has for itself


class NoSuchForm(Usage):
    """`--emit` names no form."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """A plan in one form. ``host`` counts the lines that only the host can take."""

    form: str
    text: str
    variables: int
    host: int


@dataclass(frozen=True, slots=True)
class Parts:
    """A plan by where its lines go."""

    variables: Mapping[str, str]
    files: str | None  # limit of open files
    sysctl: Mapping[str, str]
    paths: Mapping[str, str]  # in /sys

    @property
    def namespaced(self) -> dict[str, str]:
        return {k: v for k, v in self.sysctl.items() if k.startswith(NAMESPACED)}

    @property
    def of_the_host(self) -> dict[str, str]:
        return {k: v for k, v in self.sysctl.items() if not k.startswith(NAMESPACED)} | dict(
            self.paths
        )


def emit_plan(plan: Plan, form: str) -> Emitted:
    """Write a plan in one form: what would change, what is so already, and what is the host's.

    Raises:
        NoSuchForm: there is none of that name.
    """
    if form not in WRITERS:
        raise NoSuchForm(f"there is no form `{form}`", hint=f"one of {', '.join(WRITERS)}")
    parts = parts_of(plan.of("change", "already", "not permitted"))
    lines = [f"# aitrade tune-system --purpose {plan.purpose} --emit {form}"]
    lines += WRITERS[form](parts)
    return Emitted(form, "\n".join(lines) + "\n", len(parts.variables), len(parts.of_the_host))


def parts_of(lines: Sequence[Line]) -> Parts:
    variables: dict[str, str] = {}
    sysctl: dict[str, str] = {}
    paths: dict[str, str] = {}
    files = None
    for line in lines:
        if line.wanted is None or line.wanted == "unset":
            continue
        match line.backend:
            case "environment":
                variables[line.place] = line.wanted
            case "sysctl":
                sysctl[line.place] = line.wanted
            case "limit":
                files = line.wanted
            case "sysfs" | "queue":
                paths[setting_of(line.key).path(target_of(line.key))] = line.wanted
    return Parts(variables, files, sysctl, paths)


def for_the_host(parts: Parts) -> list[str]:
    """What a container cannot set, as comments."""
    if not parts.of_the_host:
        return []
    pairs = [f"#   {key} = {value}" for key, value in parts.of_the_host.items()]
    return ["# On the host, not in here:", *pairs]


def env(parts: Parts) -> list[str]:
    lines = [ENVIRONMENT.line(key, value) for key, value in parts.variables.items()]
    return lines + for_the_host(parts)


def systemd(parts: Parts) -> list[str]:
    lines = ["# UNIT.d/aitrade.conf", "[Service]"]
    lines += [f'Environment="{key}={value}"' for key, value in parts.variables.items()]
    if parts.files:
        lines.append(f"LimitNOFILE={parts.files}:{hard_beside(parts.files)}")
    if parts.sysctl:
        lines += ["", "# sysctl.d/90-aitrade.conf"]
        lines += [f"# {SYSCTL.line(key, value)}" for key, value in parts.sysctl.items()]
    if parts.paths:
        lines += ["", "# tmpfiles.d/90-aitrade.conf"]
        lines += [f"# w {path} - - - - {value}" for path, value in parts.paths.items()]
    return lines


def dockerfile(parts: Parts) -> list[str]:
    pairs = [f"{key}={value}" for key, value in parts.variables.items()]
    lines = ["ENV " + " \\\n    ".join(pairs)] if pairs else []
    words = [f"--sysctl {key}='{value}'" for key, value in parts.namespaced.items()]
    if parts.files:
        words.insert(0, f"--ulimit nofile={parts.files}")
    if words:
        lines.append(f"# docker run {' '.join(words)}")
    return lines + for_the_host(parts)


def kubernetes(parts: Parts) -> list[str]:
    lines = ["spec:"]
    if parts.namespaced:
        lines += ["  securityContext:", "    sysctls:"]
        for key, value in parts.namespaced.items():
            lines += [f"      - name: {key}", f'        value: "{value}"']
    lines += ["  containers:", "    - name: aitrade"]
    if parts.variables:
        lines.append("      env:")
        for key, value in parts.variables.items():
            lines += [f"        - name: {key}", f'          value: "{value}"']
    if parts.files:
        lines.append(f"# open files: {parts.files}, in the node's container runtime")
    return lines + for_the_host(parts)


def ansible(parts: Parts) -> list[str]:
    lines = []
    if parts.variables:
        lines += [
            "- name: Environment of training and serving",
            "  ansible.builtin.copy:",
            f"    dest: {ENVIRONMENT.file}",
            '    mode: "0644"',
            "    content: |",
            *(f"      {key}={value}" for key, value in parts.variables.items()),
        ]
    for key, value in parts.sysctl.items():
        lines += [
            f"- name: Set {key}",
            "  ansible.posix.sysctl:",
            f"    name: {key}",
            f'    value: "{value}"',
            f"    sysctl_file: {SYSCTL.file}",
        ]
    if parts.files:
        lines += [
            "- name: Open files",
            "  community.general.pam_limits:",
            '    domain: "*"',
            "    limit_type: soft",
            "    limit_item: nofile",
            f'    value: "{parts.files}"',
        ]
    if parts.paths:
        lines += [
            "- name: Values below /sys",
            "  ansible.builtin.copy:",
            "    dest: /etc/tmpfiles.d/90-aitrade.conf",
            '    mode: "0644"',
            "    content: |",
            *(f"      w {path} - - - - {value}" for path, value in parts.paths.items()),
        ]
    return lines or ["[]"]


WRITERS: Final[Mapping[str, Callable[[Parts], list[str]]]] = {
    "env": env,
    "systemd": systemd,
    "dockerfile": dockerfile,
    "kubernetes": kubernetes,
    "ansible": ansible,
}
