"""Who owns each group, and its tranche, as the runs that a view is made of, and back. Groups are shared out in runs.

Made by the coordinator; taken apart where a lost one is rebuilt. Plain Python, because the operator has no NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shuffle_protocol.messages import OwnedRun

BLOCK = 256
"""Groups that are compared at once: most of the time, next to none have changed."""


def changed(owner: list[int], tranche: list[int], before_owner: list[int], before_tranche: list[int]) -> list[int]:
    """The groups whose owner or tranche is not what it was before."""
    found: list[int] = []
    for start in range(0, len(owner), BLOCK):
        block = slice(start, start + BLOCK)
        if owner[block] == before_owner[block] and tranche[block] == before_tranche[block]:
            continue
        end = min(start + BLOCK, len(owner))
        found += [g for g in range(start, end) if (owner[g], tranche[g]) != (before_owner[g], before_tranche[g])]
    return found


def spread(groups: int, runs: Iterable[OwnedRun]) -> tuple[list[int], list[int]]:
    """The owner and the tranche of each group, of the runs of a whole view."""
    owner, tranche = [-1] * groups, [-1] * groups
    for run in runs:
        groups_of_run = slice(run.first, run.first + run.count)
        owner[groups_of_run] = [run.owner] * run.count
        tranche[groups_of_run] = [run.tranche] * run.count
    return owner, tranche


def runs_of(groups: Iterable[int], owner: Sequence[int], tranche: Sequence[int]) -> list[OwnedRun]:
    """Of some groups or all, in order."""
    runs: list[OwnedRun] = []
    first, end, of_owner, of_tranche = 0, 0, 0, 0
    for g in groups:
        if g == end and end > first and owner[g] == of_owner and tranche[g] == of_tranche:
            end += 1
            continue
        if end > first:
            runs.append(OwnedRun(first, end - first, of_owner, of_tranche))
        first, end, of_owner, of_tranche = g, g + 1, owner[g], tranche[g]
    if end > first:
        runs.append(OwnedRun(first, end - first, of_owner, of_tranche))
    return runs
