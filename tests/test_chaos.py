"""A short attack on each engine, and the proof that an attack sees what is wrong. `make chaos` goes on for longer."""

import os
import random
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from time import sleep

import pytest

from chaos import __main__, attack, kills, sites
from chaos.attack import Plan
from chaos.kills import KILLS
from chaos.ledger import Fault
from chaos.load import Load
from chaos.sites import GALERA, Site

FEWEST = 5  # kills of an engine, or one of each kind
ENGINES = sites.available(required=bool(os.environ.get("CI")))


def name(engine: str) -> str:
    """Return the name of a case; a cluster is one of MariaDB."""
    return "mariadb-galera" if engine == GALERA else engine


@pytest.mark.parametrize("engine", ENGINES, ids=name)
def test_nothing_is_lost_doubled_or_halved_by_kills_under_load(
    engine: str, folder: Path
) -> None:
    kinds = (kills.node,) if engine == GALERA else KILLS[engine]
    count = 1 if engine == GALERA else max(FEWEST, len(kinds))
    plan, faults = Plan(random.randrange(10**6), kills=count), list[Fault]()
    played = attack.attack(engine, plan, folder, faults.append, kinds)
    assert faults == [], plan
    assert played.kills.total() == count
    assert played.ledger.answered > 1000
    assert played.ledger.unanswered > 0


def rob(site: Site, load: Load, rng: random.Random) -> None:
    """Remove a patient behind the back of the service."""
    path = site.services[0].url.removeprefix("sqlite:///")
    theft = "DELETE FROM patient WHERE id = (SELECT min(id) FROM patient)"
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        while not connection.execute(theft).rowcount:
            sleep(0.05)


def test_a_fault_is_told_with_its_seed_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setitem(KILLS, "sqlite", (rob,))
    arguments = ["chaos", "--engine", "sqlite", "--kills", "1", "--seed", "7"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "sqlite: 1 kills (1 rob)" in printed
    assert "sqlite, seed 7: " in printed
    assert "'name': 'Noura Salem" in printed
    assert [*tmp_path.glob("chaos-sqlite-*/clinic.db")]  # is kept
