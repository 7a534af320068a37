"""The report: goals beside figures, and every figure, as Markdown."""

from collections.abc import Iterable, Sequence

from bench.cases import MIXED, QUICK, Plan
from bench.figures import Figures
from bench.goals import AGAINST, exponent, goals, number
from bench.load import CONNECTIONS
from bench.peers import PEERS
from bench.records import CASES

RAW_AND_PEERS = ("raw", *(kind.name for kind in PEERS))
SINGLES = ("requests/s", "p50", "p99", "errors")

UNEQUAL = """\
The files of all are SQLite in WAL mode. What is *not* the same:

| | durable at a power cut | finds the stored record by | validates | answers |
|---|---|---|---|---|
| raw | yes (synchronous=FULL) | one key | nothing | nothing; no HTTP, no JSON either |
| service | yes (FULL), and writes its history | every key of the contract | the whole contract | for every record: \
action, id, key |
| session.merge | yes (FULL) | one primary key | nothing | `{"ok": true}` |
| PocketBase | **no**: it opens its files with synchronous=NORMAL and has no setting for it | its own id, which the \
bench derives from the number | types, unique keys | every record, whole |
| Datasette | yes (FULL, SQLite's default) | one primary key | nothing | `{"ok": true}` |

* Processes: the service and session.merge have gunicorn's two workers of eight threads; PocketBase and Datasette are
  one process each, PocketBase with a thread for each core.
* PocketBase takes one record as a batch of one, the only way in which it upserts. Its limits and Datasette's of a
  request's size are raised; everything else is as they come.
* All or nothing: one bad record undoes the whole list in all of them but the service.
* PostgreSQL: fsync and synchronous_commit are on for both; raw neither validates nor answers.
* Clients run on the same machine, in one Python process, and take their part of its cores.
"""

REASONS = "Why some are not met, what was tried, and where the time goes: [decisions](../docs/decisions.md)."


def summary(figures: Figures, plan: Plan) -> str:
    """Return the goals, each beside its figure, and what could not be measured."""
    rows = [
        (goal.what, number(goal.value), goal.verdict()) for goal in goals(figures, plan)
    ]
    return table(("service", "figure", ""), rows) + _holes(figures)


def markdown(figures: Figures, plan: Plan, machine: Sequence[str], chart: str) -> str:
    """Return the whole report; `chart` is the picture's file name."""
    about = f"Medians of {plan.rounds} rounds, all peers in turn in each: ratios are of this one run of `make bench`."
    if plan is QUICK:
        about = "A trial: one round, and lists smaller than those that the goals speak of. Its figures mean little."
    parts = [
        "# Results",
        about,
        "\n".join(f"* {line}" for line in machine),
        f"![The figures below as a chart]({chart})",
    ]
    parts += [
        "## Goals",
        summary(figures, plan),
        REASONS,
        "## What is not equal",
        UNEQUAL.strip(),
    ]
    parts += _bulk(figures, plan) + _sizes(figures, plan) + _singles(figures, plan)
    parts += _growth(figures, plan) + _postgresql(figures)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _holes(figures: Figures) -> str:
    if not figures.holes:
        return ""
    return "\n\nNot measured:\n\n" + "\n".join(
        f"* {what}: {reason}" for what, reason in figures.holes.items()
    )


def _bulk(figures: Figures, plan: Plan) -> list[str]:
    rows = [
        (peer, *(_rate(figures, peer, case) for case in CASES)) for peer in RAW_AND_PEERS
    ]
    ratios = [(peer, *(_ratio(figures, peer, case) for case in CASES)) for peer in AGAINST]
    commit = figures.median("commit")
    return [
        f"## Bulk: {plan.records:,} records in one request, records/s (lowest and highest round)",
        table(("", *CASES), rows),
        "The service's rate as a multiple of theirs:",
        table(("", *CASES), ratios),
        f"One durable commit of one row, raw: {number(commit)} µs.",
    ]


def _rate(figures: Figures, peer: str, case: str) -> str:
    rates = figures.rounds.get(("bulk", peer, case))
    if not rates:
        return "not measured"
    median = number(figures.median("bulk", peer, case))
    return (
        median
        if len(rates) == 1
        else f"{median} ({number(min(rates))} to {number(max(rates))})"
    )


def _ratio(figures: Figures, peer: str, case: str) -> str:
    return number(figures.ratio(("bulk", "service", case), ("bulk", peer, case)))


def _sizes(figures: Figures, plan: Plan) -> list[str]:
    lists = {f"{size:,} a request": ("sizes", str(size)) for size in plan.sizes}
    lists |= {f"{plan.records:,} a request": ("bulk", "service")}
    lists |= {f"{plan.records:,} messy ones": ("messy", "service")}
    rows = [
        (what, *(number(figures.median(*name, case)) for case in CASES))
        for what, name in lists.items()
    ]
    peaks = [
        (
            f"{peer}, {plan.records:,}",
            number(figures.median("memory", peer, str(plan.records))),
        )
        for peer in RAW_AND_PEERS[1:]
    ]
    peaks.append(
        (
            f"service, {plan.sizes[1]:,}",
            number(figures.median("memory", "service", str(plan.sizes[1]))),
        )
    )
    return [
        "## The service: lists of other sizes, and messy ones, records/s",
        f"{plan.sizes[0]:,} a request: as many requests as make {plan.records:,}. Messy: a third without patientNo, "
        "half with Arabic names and local phone spellings, two of three with nulls.",
        table(("", *CASES), rows),
        "## Memory: the peak of the largest process after three such lists, MiB",
        table(("", "MiB"), peaks),
    ]


def _singles(figures: Figures, plan: Plan) -> list[str]:
    rows = [(kind.name, *_single(figures, "singles", kind.name)) for kind in PEERS]
    mixed = [
        (
            f"{kind.name}, {when}",
            *_single(figures, "mixed", kind.name, when),
            _beside(figures, kind.name, when),
        )
        for kind in MIXED
        for when in ("alone", "beside a bulk")
    ]
    return [
        f"## One record a request, {CONNECTIONS} connections",
        "Each connection creates a patient, changes it, and goes on. Milliseconds; errors are of all rounds.",
        table(("", *SINGLES), rows),
        f"## Mixed: the same while bulks of {2 * plan.records:,} changed records follow each other",
        table(("", *SINGLES, "bulk's records/s"), mixed),
        "Read the ratio of the p99s together with the p99 alone: who is slow alone has little to lose.",
    ]


def _single(figures: Figures, *name: str) -> list[str]:
    return [
        *(number(figures.median(*name, what)) for what in SINGLES[:-1]),
        number(figures.total(*name, "errors")),
    ]


def _beside(figures: Figures, peer: str, when: str) -> str:
    return number(figures.median("mixed", peer, "bulk")) if when != "alone" else ""


def _growth(figures: Figures, plan: Plan) -> list[str]:
    lines = [
        (what, case) for what in ("service", "raw") for case in ("unchanged", "changed")
    ]
    rows = [
        (
            f"{what}, {case}",
            *(
                number(figures.median("growth", what, case, str(size)))
                for size in plan.tables
            ),
            number(exponent(figures, plan, what, case)),
        )
        for what, case in lines
    ]
    return [
        f"## Growth: a re-sync of {min(plan.tables):,} from all over the table, µs a record",
        table(
            ("rows of the table", *(f"{size:,}" for size in plan.tables), "exponent"), rows
        ),
    ]


def _postgresql(figures: Figures) -> list[str]:
    names = {"COPY + ON CONFLICT": "raw", "service": "service"}
    rows = [
        (what, *(number(figures.median("postgresql", name, case)) for case in CASES))
        for what, name in names.items()
    ]
    return ["## PostgreSQL: the bulk, records/s", table(("", *CASES), rows)]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table; all columns but the first hold figures."""
    lines = [tuple(head), *(tuple(row) for row in rows)]
    lines.insert(1, ("---", *("---:" for _ in lines[0][1:])))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
