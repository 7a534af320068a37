"""Memory: no body takes more than eight times its size, and nothing of it is left when it is answered."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import memory
import pytest
from conftest import Http, Portal, migrated

import sync
import weight

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def peaks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, float]]:
    url = f"sqlite:///{tmp_path_factory.mktemp('memory') / 'clinic.db'}"
    with migrated(url):
        command = [sys.executable, "tests/memory.py", url]
        told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return json.loads(told.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("name", memory.BODIES)
def test_no_body_takes_more_than_eight_times_its_size(
    peaks: dict[str, tuple[int, float]], name: str
) -> None:
    status, times = peaks[name]
    assert status in (400, 413, 422)
    assert times < weight.TIMES


@pytest.mark.parametrize("options", [{}, {"dry_run": True}, {"atomic": True}])
def test_what_was_sent_is_let_go_while_it_is_worked_on(
    sqlite_portal: Portal, options: dict[str, bool]
) -> None:
    sent = [{"patientNo": f"P-{at}", "name": "Ali Hassan"} for at in range(3)]
    with sqlite_portal.app.app_context():
        wanted = sync.Options(**options)
        reports = sync.many(sqlite_portal.schemas, {"patient": sent}, wanted)
    assert reports["patient"].counts["created"] == 3
    assert sent == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/patient", b'{"x": [["left behind"]]}', 422),
        ("/patient", b'{"patientNo": "P-1", "x": [["left behind"]]}', 422),
        ("/patient", b'{"patientNo": [["left behind"]], "name": "Ali"}', 422),
        ("/patient", b'[{"x": [["left behind"]]}]', 400),
        ("/patients", b'{"x": [["left behind"]]}', 400),
        ("/patients", b'[{"x": [["left behind"]]}]', 422),
        ("/sync", b'{"x": [["left behind"]]}', 400),
    ],
)
@pytest.mark.parametrize("query", [{}, {"dryRun": "true"}, {"atomic": "true"}])
def test_a_refused_body_is_gone_when_it_is_answered(
    *, http: Http, path: str, body: bytes, status: int, query: dict[str, str]
) -> None:
    """Without the collector of circles, which comes seldom."""
    gc.collect()
    gc.disable()
    try:
        assert http.post(path, body, **query).status_code == status
        left = [it for it in gc.get_objects() if type(it) is list and it == ["left behind"]]
    finally:
        gc.enable()
    assert left == []
