"""Whom a chaos run kills: the kinds in rounds, each round in an order drawn by chance, so that all get their turn. A
kind that has no victim at the moment, as tasks' workers during training, gives way to one that has.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress

import psutil
from _chaos_cluster import HEAD, ChaosCluster

OURS = "-m crawl2chat run"
SHELLS = ("/bin/sh ", "sh ", "bash ", "/bin/bash ")  # Ray starts a job by one: without it the driver would live on
KINDS = ("worker", "actor", "raylet", "driver", "head")
NO_TASKS = ("ray::IDLE", "ray::RuntimeEnvAgent", "ray::DashboardAgent")  # the other processes that Ray names so


def kinds_left(left: Sequence[str], dice: random.Random) -> list[str]:
    """The kinds whose turn it still is in this round, and behind them those that stand in for one without a victim."""
    left = left or KINDS
    rest = [kind for kind in KINDS if kind not in left]
    return [*dice.sample(left, len(left)), *dice.sample(rest, len(rest))]


def kill_one(cluster: ChaosCluster, kinds: Sequence[str], dice: random.Random) -> tuple[str, str, str]:
    """Kill a victim of the first kind that has one with SIGKILL: (kind, what it was, the node to start again or "")."""
    for kind in kinds:
        if kind == "head":
            cluster.kill(HEAD)
            return kind, "head", HEAD
        if kind == "raylet":
            if up := [name for name in cluster.nodes if cluster.alive(name)]:
                node = dice.choice(up)
                _kill_raylet(cluster, node)
                return kind, node, node
        elif found := _processes(cluster, kind):
            process, what = dice.choice(found)
            with suppress(psutil.NoSuchProcess):
                process.kill()
                return kind, what, ""
    raise RuntimeError("nothing runs that could be killed")


def _kill_raylet(cluster: ChaosCluster, node: str) -> None:
    """The raylet alone, which holds the object store: its workers must end by themselves, `ray start` too."""
    for process in cluster.processes(node):
        with suppress(psutil.NoSuchProcess):
            if process.name() == "raylet":
                process.kill()


def _processes(cluster: ChaosCluster, kind: str) -> list[tuple[psutil.Process, str]]:
    """The processes of a kind and what they do: tasks' workers and actors anywhere, the job's driver on the head."""
    commands: list[tuple[psutil.Process, str]] = []
    for name in cluster.agents:
        for process in cluster.processes(name) if cluster.alive(name) else []:
            with suppress(psutil.NoSuchProcess):
                commands.append((process, " ".join(process.cmdline()).strip()))
    if kind == "driver":
        return [(process, "run") for process, command in commands if OURS in command and not command.startswith(SHELLS)]
    actors: dict[int, str] = {}
    with suppress(OSError, KeyError):
        actors = cluster.actors()
    if kind == "actor":
        return [(process, actors[process.pid]) for process, _ in commands if process.pid in actors]
    return [
        (process, command)
        for process, command in commands
        if command.startswith("ray::") and not command.startswith(NO_TASKS) and process.pid not in actors
    ]
