"""Graphs of jobs made at random, and what becomes of them by a plain model of the rules."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.jobs import JobStatus

POLICIES = ("cancel", "cancel", "run", "run", "run", "hold")


@dataclass(frozen=True, slots=True)
class Node:
    """One job of a graph."""

    parents: tuple[int, ...]
    """By place; all of them before it."""
    policy: str
    fails: bool


def random_graph(chance: random.Random, size: int) -> list[Node]:
    """A graph in which most jobs depend on some of those before them, and now and then one on very many."""
    nodes: list[Node] = []
    for number in range(size):
        most = number if chance.random() < 0.02 else min(number, 4)
        parents = chance.sample(range(number), chance.randint(0, most))
        nodes.append(Node(tuple(parents), chance.choice(POLICIES), fails=chance.random() < 0.05))
    return nodes


def requests_of(nodes: Sequence[Node], job_type: str, order: Sequence[int]) -> list[dict[str, Any]]:
    """The graph as a batch, its jobs in this order."""
    place = {number: position for position, number in enumerate(order)}
    return [
        {
            "type": job_type,
            "payload": {"fails": nodes[number].fails},
            "dependencies": [place[parent] for parent in nodes[number].parents],
            "on_dependency_failure": nodes[number].policy,
        }
        for number in order
    ]


def expected(nodes: Sequence[Node]) -> list[JobStatus]:
    """What becomes of each."""
    ends: list[JobStatus] = []
    for node in nodes:
        above = {ends[parent] for parent in node.parents}
        has_failed = bool(above & {JobStatus.FAILED, JobStatus.CANCELLED})
        if has_failed and node.policy == "cancel":
            ends.append(JobStatus.CANCELLED)
        elif (has_failed and node.policy == "hold") or JobStatus.PENDING in above:
            ends.append(JobStatus.PENDING)
        else:
            ends.append(JobStatus.FAILED if node.fails else JobStatus.COMPLETED)
    return ends


def may_run(policy: str, above: Mapping[str, JobStatus]) -> bool:
    """Whether a job may run while those that it depends on are in these states."""
    return all(status is JobStatus.COMPLETED or (policy == "run" and status.is_terminal) for status in above.values())
