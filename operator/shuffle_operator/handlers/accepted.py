"""The spec that a job was begun with, which holds until it is over.

API servers before 1.25 let anybody change any field, because they ignore the definition's rules. What was accepted is
known by a digest in the status, written before anything is started. A change of a job that runs is not followed: an
event says so, and the accepted spec is written down as well, so that an operator that takes the job over follows it,
too. If the change was made while no operator was there, nobody knows what was accepted, and the job fails instead of
going on with another plan.

What counts is what a spec means. A field at its default is as good as absent, because the API server fills in the
defaults of its definition: one more default, in a newer definition, is no change.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import ValidationError

from shuffle_operator.api.rules import FROZEN, FROZEN_WORKERS_BUT
from shuffle_operator.api.spec import Spec

Object = dict[str, Any]

_FIELDS = [str(field.alias) for field in Spec.model_fields.values()]
FOLLOWED = tuple(name for name in _FIELDS if name not in (*FROZEN, "workers"))
"""Fields of the spec that may be changed at any time."""
LONGEST = 65_536
"""Characters of a spec that are written down."""
IGNORED = "SpecChangeIgnored"


def frozen(spec: Object) -> Object:
    """The part of a spec that holds from the beginning of a job to its end."""
    part = {key: value for key, value in spec.items() if key not in FOLLOWED}
    if isinstance(part.get("workers"), dict):
        part["workers"] = {k: v for k, v in part["workers"].items() if k not in FROZEN_WORKERS_BUT}
    return {key: value for key, value in part.items() if value not in (None, {})}


def meaning(spec: Object) -> Object | None:
    """A spec without what is at its default; None where the spec is not valid."""
    try:
        return Spec.model_validate(spec, by_alias=True, by_name=False).model_dump(by_alias=True, exclude_defaults=True)
    except ValidationError:
        return None


def digest(spec: Object) -> str:
    means = meaning(spec)
    text = json.dumps(frozen(spec if means is None else means), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def changed(accepted: Object, given: Object) -> list[str]:
    """The fields that differ, of those that cannot be changed."""
    if accepted == given:
        return []
    means = meaning(accepted), meaning(given)
    old, new = (accepted, given) if None in means else means
    old, new = frozen(old or {}), frozen(new or {})
    return [f"spec.{key}" for key in sorted({*old, *new}) if old.get(key) != new.get(key)]


def effective(accepted: Object, given: Object) -> Object:
    """What a running job follows: the accepted spec, with the present values of the fields that may change."""
    result = {key: value for key, value in accepted.items() if key not in FOLLOWED}
    result |= {key: given[key] for key in FOLLOWED if key in given}
    workers = {k: v for k, v in (accepted.get("workers") or {}).items() if k not in FROZEN_WORKERS_BUT}
    workers |= {k: v for k, v in (given.get("workers") or {}).items() if k in FROZEN_WORKERS_BUT}
    return {**result, "workers": workers} if workers or "workers" in accepted else result


def written(accepted: Object, given: Object) -> str | None:
    """The accepted spec as it is to be written down; None where nothing was changed, so that this is not needed."""
    if not changed(accepted, given):
        return None
    text = json.dumps(accepted, separators=(",", ":"))
    return text if len(text) <= LONGEST else None


def accepted_of(body: Object) -> Object | None:
    """The spec with which a job was begun; None where it was changed and nobody knows what it was."""
    status, given = body.get("status") or {}, body.get("spec") or {}
    known = status.get("specDigest")
    if known is None or digest(given) == known:
        return dict(given)
    try:
        found = json.loads(status.get("acceptedSpec") or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) and digest(found) == known else None
