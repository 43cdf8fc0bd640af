"""The spec that a job was begun with, which holds until it is over.

API servers before 1.25 let anybody change any field, for they ignore the definition's rules. What was accepted is known
by a digest in the status, written before anything is started. A change of a job that runs is not followed: an event
says so, and the accepted spec is written down as well, so that an operator that takes the job over goes by it too.
Where the change was made while no operator was there, what was accepted is known to nobody, and the job fails rather
than to go on with another plan.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

Object = dict[str, Any]

FOLLOWED = ("suspend", "activeDeadlineSeconds", "ttlSecondsAfterFinished")
"""Fields of the spec that may be changed at any time."""
FOLLOWED_WORKERS = ("replicas",)
LONGEST = 65_536
"""Characters of a spec that are written down."""
IGNORED = "SpecChangeIgnored"


def frozen(spec: Object) -> Object:
    """The part of a spec that holds from the beginning of a job to its end."""
    part = {key: value for key, value in spec.items() if key not in FOLLOWED}
    if isinstance(part.get("workers"), dict):
        part["workers"] = {k: v for k, v in part["workers"].items() if k not in FOLLOWED_WORKERS}
    return {key: value for key, value in part.items() if value not in (None, {})}


def digest(spec: Object) -> str:
    text = json.dumps(frozen(spec), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def changed(accepted: Object, given: Object) -> list[str]:
    """The fields that differ, of those that cannot be changed."""
    old, new = frozen(accepted), frozen(given)
    return [f"spec.{key}" for key in sorted({*old, *new}) if old.get(key) != new.get(key)]


def effective(accepted: Object, given: Object) -> Object:
    """What a running job goes by: the accepted spec, with what may be changed as it is now given."""
    result = {key: value for key, value in accepted.items() if key not in FOLLOWED}
    result |= {key: given[key] for key in FOLLOWED if key in given}
    workers = {k: v for k, v in (accepted.get("workers") or {}).items() if k not in FOLLOWED_WORKERS}
    workers |= {k: v for k, v in (given.get("workers") or {}).items() if k in FOLLOWED_WORKERS}
    return {**result, "workers": workers} if workers or "workers" in accepted else result


def written(accepted: Object, given: Object) -> str | None:
    """What is to be written down of an accepted spec, None where that is not needed: nothing was changed."""
    if not changed(accepted, given):
        return None
    text = json.dumps(accepted, separators=(",", ":"))
    return text if len(text) <= LONGEST else None


def accepted_of(body: Object) -> Object | None:
    """The spec that a job which was begun was accepted with; None where it was changed and nobody knows."""
    status, given = body.get("status") or {}, body.get("spec") or {}
    known = status.get("specDigest")
    if known is None or digest(given) == known:
        return dict(given)
    try:
        found = json.loads(status.get("acceptedSpec") or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) and digest(found) == known else None
