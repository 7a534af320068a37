"""Every way in which a request, or one record of it, can fail: the table of the contract's section 6."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar


@dataclass(eq=False, repr=False)
class Problem(Exception):
    """A failure that the sender is told of (RFC 9457).

    `errors` maps Python field names to sentences; `candidates` are the records in question, as
    (record, matched_by); `key` names the refused record; `headers` go with the answer.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    detail: str
    _: KW_ONLY
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    candidates: Sequence[tuple[Any, str]] = ()
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class InvalidJson(Problem):
    status, code, title = 400, "invalid_json", "The body is not JSON"


class InvalidBody(Problem):
    status, code, title = 400, "invalid_body", "The body is not what this path takes"


class InvalidParameter(Problem):
    status, code, title = 400, "invalid_parameter", "A query parameter is not right"


class Unauthorized(Problem):
    status, code, title = 401, "unauthorized", "The API key is missing or unknown"


class NotFound(Problem):
    status, code, title = 404, "not_found", "There is nothing at this address"


class MethodNotAllowed(Problem):
    status, code, title = 405, "method_not_allowed", "This path does not take this method"


class IdentityConflict(Problem):
    status, code, title = 409, "identity_conflict", "The record may be somebody else's"


class AmbiguousMatch(Problem):
    status, code, title = 409, "ambiguous_match", "Several stored records fit"


class SlotTaken(Problem):
    status, code, title = 409, "slot_taken", "The patient has another booking at that time"


class PayloadTooLarge(Problem):
    status, code, title = 413, "payload_too_large", "The request is too large"


class UnsupportedMediaType(Problem):
    status, code, title = 415, "unsupported_media_type", "The body must be JSON"


class ValidationFailed(Problem):
    status, code, title = 422, "validation_failed", "The record is not valid"


class UnknownReference(Problem):
    status, code, title = 422, "unknown_reference", "The record refers to one that is not stored"


class InternalError(Problem):
    status, code, title = 500, "internal_error", "The service failed"


class DatabaseUnavailable(Problem):
    status, code, title = 503, "database_unavailable", "The database does not answer"
