"""Send the record in patient.json (UTF-8) and print what became of it. Needs requests: pip install requests"""

import os
import sys
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

ADDRESS = "http://127.0.0.1:5082"
# To send a record twice is harmless, so a POST may be tried again: when nobody answers, or the service is busy.
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
    }
    with requests.Session() as session:
        session.mount(ADDRESS, HTTPAdapter(max_retries=RETRIES))
        return session.post(
            ADDRESS + path, data=body, headers=headers, timeout=60, allow_redirects=False
        )


def main() -> None:
    sys.stdout.reconfigure(
        encoding="utf-8"
    )  # Windows writes logs in an ANSI code page, which has no room for names
    try:
        response = post("/api/healthcare/patient", Path("patient.json").read_bytes())
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

    if answer.get("success"):
        print(f"{answer['action']}: id {answer['id']}")
        for warning in answer["warnings"]:
            print(f"  warning: {warning}")
        return
    print(f"HTTP {response.status_code} {answer.get('code')}: {answer.get('detail')}")
    for field, reasons in answer.get("errors", {}).items():
        print(f"  {field}: {' '.join(reasons)}")
    for candidate in answer.get("candidates", []):
        print(f"  candidate: id {candidate['id']}, found by {candidate['matchedBy']}")
    sys.exit(1)


if __name__ == "__main__":
    main()
