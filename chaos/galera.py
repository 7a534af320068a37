"""Galera: a cluster of three MariaDB nodes on loopback. A node may be killed, and joins again."""

import re
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from tests import servers

NODES = 3
PROVIDERS = "/usr/lib/galera", "/usr/lib64/galera-4", "/usr/lib64/galera"
NEEDED = "mariadbd", "mariadb-install-db", "wsrep_sst_rsync", "rsync"
# What Galera demands, and what a node needs to commit as durably as a single server does.
SETTINGS = (
    "--binlog-format=ROW",
    "--innodb-autoinc-lock-mode=2",
    "--innodb-flush-log-at-trx-commit=1",
    "--wsrep-on=ON",
    "--wsrep-cluster-name=chaos",
    "--wsrep-node-address=127.0.0.1",
    "--wsrep-sst-method=rsync",
)
POSITION = re.compile(r"Recovered position:\s*([0-9a-f-]+:-?\d+)")


@cache
def available(required: bool = False) -> bool:
    """Return whether a cluster can run on here; `required`: fail unless it can."""
    missing = [name for name in NEEDED if not servers.program(name, "/usr/sbin")]
    missing += [] if _provider() else ["libgalera_smm.so"]
    if required and missing:
        raise RuntimeError(f"a Galera cluster needs {', '.join(missing)}")
    return not missing


def _provider() -> str | None:
    return servers.program("libgalera_smm.so", *PROVIDERS)


@dataclass
class Node(servers.Server):
    """A server of the cluster. `joins_by_copy`: it fetches the whole database, not only what it missed."""

    joins_by_copy: bool = False
    founds: bool = False  # the cluster, at its first start

    def start(self) -> None:
        """Start the node and wait until it takes part in the cluster."""
        process = self.run(*self._beginning())
        engine = sa.create_engine(self.url.replace("mariadb:", "mariadb+pymysql:"))
        servers.wait_until(lambda: _is_synced(engine), process)
        engine.dispose()
        self.founds = False

    def _beginning(self) -> list[str]:
        if self.founds:
            return ["--wsrep-new-cluster"]
        if self.joins_by_copy or not self.process:
            return []
        return [f"--wsrep-start-position={self._position()}"]

    def _position(self) -> str:
        """Return up to where a killed node has the cluster's transactions: it can fetch the rest of them."""
        command = [*self.command, "--wsrep-recover", "--wsrep-cluster-address=gcomm://"]
        told = subprocess.run(
            command, user=self.user, check=True, capture_output=True, text=True
        )
        return POSITION.findall(told.stderr)[-1]


@dataclass
class _Ports:
    group: int = field(default_factory=servers.free_port)
    increments: int = field(default_factory=servers.free_port)
    copies: int = field(default_factory=servers.free_port)


def _is_synced(engine: sa.Engine) -> bool:
    try:
        with engine.connect() as connection:
            query = "SHOW STATUS LIKE 'wsrep_local_state_comment'"
            return connection.exec_driver_sql(query).one()[1] == "Synced"
    except sa.exc.OperationalError:
        return False


def prepared(folder: Path) -> list[Node]:
    """Make the files of a cluster in an empty folder. The first node founds it, the others copy its data."""
    servers.open_to_servers(folder)
    ports = [_Ports() for _ in range(NODES)]
    members = ",".join(f"127.0.0.1:{each.group}" for each in ports)
    founder, *others = [
        _node(folder / f"node-{number}", number, each, members)
        for number, each in enumerate(ports, start=1)
    ]
    servers.install_mariadb(founder)
    founder.founds = True
    return [founder, *others]


def _node(folder: Path, number: int, ports: _Ports, members: str) -> Node:
    folder.mkdir()
    server = servers.mariadb(folder, servers.free_port())
    command = [
        *server.command,
        *SETTINGS,
        f"--wsrep-provider={_provider()}",
        f"--wsrep-cluster-address=gcomm://{members}",
        f"--wsrep-node-name=node-{number}",
        f"--wsrep-sst-receive-address=127.0.0.1:{ports.copies}",
        f"--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{ports.group};"
        f"ist.recv_addr=127.0.0.1:{ports.increments}",
    ]
    return Node(server.url, command, server.user, folder)
