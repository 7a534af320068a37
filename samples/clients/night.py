"""Send everything.json (UTF-8) and print the counts and each record that failed or has a warning.

The file: {"clinics": [...], "doctors": [...], "patients": [...], "appointments": [...]}
Needs requests: pip install requests
"""

import os
import sys
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

ADDRESS = "http://127.0.0.1:5082"
# To send records twice is harmless, so a POST may be tried again: when nobody answers, or the service is busy.
RETRIES = Retry(
    total=3,
    backoff_factor=1,
    status_forcelist=[503],
    allowed_methods=["POST"],
    raise_on_status=False,
)


def post(path: str, body: bytes) -> requests.Response:
    headers = {
        "X-API-Key": os.environ.get("API_KEY", ""),
        "Content-Type": "application/json",
        "Prefer": "return=minimal",
    }
    with requests.Session() as session:
        session.mount(ADDRESS, HTTPAdapter(max_retries=RETRIES))
        return session.post(
            ADDRESS + path, data=body, headers=headers, timeout=900, allow_redirects=False
        )


def tell(entity: str, result: dict) -> None:
    name = f"{entity}[{result['index']}] {result['key']}"
    for warning in result.get("warnings", []):
        print(f"{name} warning: {warning}")
    if result["success"]:
        return
    print(f"{name} {result['code']}: {result['detail']}")
    for field, reasons in result.get("errors", {}).items():
        print(f"  {field}: {' '.join(reasons)}")
    for candidate in result.get("candidates", []):
        print(f"  candidate: id {candidate['id']}, found by {candidate['matchedBy']}")


def main() -> None:
    sys.stdout.reconfigure(
        encoding="utf-8"
    )  # Windows writes logs in an ANSI code page, which has no room for names
    try:
        response = post("/api/healthcare/sync", Path("everything.json").read_bytes())
    except (
        OSError
    ) as error:  # no file, or no answer: the exceptions of requests are OSErrors, too
        sys.exit(f"Sending failed: {error}")
    try:
        answer = response.json()
    except requests.JSONDecodeError:
        sys.exit(
            f"HTTP {response.status_code}, and not from the service: {response.text[:200]}"
        )

    if "total" not in answer:  # the request failed as a whole
        sys.exit(
            f"HTTP {response.status_code} {answer.get('code')}: {answer.get('detail')}"
        )
    print(
        ", ".join(
            f"{count} {answer[count]}"
            for count in ("total", "created", "updated", "unchanged", "failed")
        )
    )
    for entity in ("clinics", "doctors", "patients", "appointments"):
        for result in answer.get(entity, {}).get("results", []):
            tell(entity, result)
    if answer[
        "failed"
    ]:  # the status alone does not tell: 207 is a success to most programs
        sys.exit(1)


if __name__ == "__main__":
    main()
