"""How a request, or one record of it, can fail: the table of the contract's section 6. Some stand beside their rule."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar


@dataclass(eq=False, repr=False)
class Problem(Exception):
    """A failure, as the sender gets it (RFC 9457).

    `errors` maps Python field names to sentences; `candidates` are the records in question, as
    (record, matched_by), and `candidate_count` how many there are where not all are named; `key` names the refused
    record; `headers` go with the answer.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]
    advice: ClassVar[str]  # what the sender does about it
    example: ClassVar[
        Mapping[str, Any]
    ] = {}  # `detail` and the members that only some have, as they are answered

    detail: str
    _: KW_ONLY
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    candidates: Sequence[tuple[Any, str]] = ()
    candidate_count: int = 0
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class InvalidJson(Problem):
    status, code, title = 400, "invalid_json", "The body is not JSON"
    advice = "Mend the JSON at the place that detail names; send it as UTF-8 from a file."
    example = {"detail": "Expecting value at line 1, column 15."}


class InvalidBody(Problem):
    status, code, title = 400, "invalid_body", "The body is not what this path takes"
    advice = "Send one object to the singular path, a list to the plural one, an object of lists to /sync."
    example = {"detail": "Send one JSON object, or a list to /api/healthcare/patients"}


class InvalidParameter(Problem):
    status, code, title = 400, "invalid_parameter", "A query parameter is not right"
    advice = "Correct the parameter that detail names, or leave it out."
    example = {"detail": "dryRun must be true or false, and be sent once."}


class Unauthorized(Problem):
    status, code, title = 401, "unauthorized", "The key or log-in is missing or unknown"
    advice = "Send the header X-API-Key with a key of the service's API_KEYS."
    example = {"detail": "Send your key in the header X-API-Key."}


class NotFound(Problem):
    status, code, title = 404, "not_found", "There is nothing at this address"
    advice = "Check the path; a record's id comes from an answer or a list."
    example = {"detail": "No patient with id 18 is stored."}


class MethodNotAllowed(Problem):
    status, code, title = 405, "method_not_allowed", "This path does not take this method"
    advice = "Use a method that the header Allow names."
    example = {"detail": "This path takes POST, OPTIONS."}


class IdentityConflict(Problem):
    status, code, title = 409, "identity_conflict", "The record may be somebody else's"
    advice = "See whose record it is: correct the number in the desktop program, or merge or retire a candidate."
    example = {
        "detail": "Its keys belong to different stored records.",
        "key": "P-20417",
        "candidates": [
            {"id": 17, "matchedBy": "patientNo"},
            {"id": 23, "matchedBy": "nationalID"},
        ],
    }


class AmbiguousMatch(Problem):
    status, code, title = 409, "ambiguous_match", "Several stored records fit"
    advice = "Send patientNo or nationalID with the record, or merge the candidates if they are one person."
    example = {
        "detail": "Several stored records fit equally well.",
        "key": "+966551112233",
        "candidates": [
            {"id": 17, "matchedBy": "mobile+name"},
            {"id": 23, "matchedBy": "mobile+name"},
        ],
    }


class PayloadTooLarge(Problem):
    status, code, title = 413, "payload_too_large", "The request is too large"
    advice = "Send the records in parts; the limit stands in detail."
    example = {
        "detail": "At most 100000 records go into one request; these are 120000. Send parts."
    }


class UnsupportedMediaType(Problem):
    status, code, title = 415, "unsupported_media_type", "The body must be JSON"
    advice = "Send the header Content-Type: application/json and the body uncompressed."
    example = {"detail": "Send JSON with the header Content-Type: application/json"}


class ValidationFailed(Problem):
    status, code, title = 422, "validation_failed", "The record is not valid"
    advice = "Correct each field that errors names, and send the record again."
    example = {
        "detail": "Some fields are not right.",
        "key": "P-20418",
        "errors": {"email": ["Not a valid email address."]},
    }


class UnknownReference(Problem):
    status, code = 422, "unknown_reference"
    title = "The record refers to one that is not stored"
    advice = "Send the clinic, doctor or patient first, or all of them in one /sync."
    example = {
        "detail": "The record refers to what is not stored. Send that first.",
        "key": "A-5501",
        "errors": {"doctorCode": ["No doctor DOC-HUDA-07 is stored."]},
    }


class TooManyRequests(Problem):
    status, code, title = 429, "too_many_requests", "Too many failed log-ins"
    advice = "Wait as long as Retry-After says; the right password works then."


class InternalError(Problem):
    status, code, title = 500, "internal_error", "The service failed"
    advice = "Tell the operator the request id; sending again is harmless."
    example = {
        "detail": "Something unforeseen happened. Tell the operator this request id: night-17"
    }


class DatabaseUnavailable(Problem):
    loses_all = False  # whether what the request stored before may be lost, so that it fails as a whole
    status, code, title = 503, "database_unavailable", "The database does not answer"
    advice = "Wait as long as Retry-After says, and send the same again."
    example = {
        "detail": "The database does not answer or is busy. Nothing was half-written: send the same again."
    }


class ServiceBusy(Problem):
    status, code, title = 503, "service_busy", "The service is busy with large lists"
    advice = "Wait as long as Retry-After says, and send the same again."
    example = {
        "detail": "The service works on other large lists. Nothing of this one was stored: send the same again."
    }
