"""How a test asks the table: ``hold()`` for what it sees, ``known()`` for what it has to go round."""

from packaging.requirements import Requirement

from tests.support.faults import table
from tests.support.faults.row import Fault, installed, version_of

__all__ = ["hold", "known", "patience"]

#: Seconds: against hanging only, and where the row says that it hangs.
_HANG = 30.0
_SHORT = 3.0


def known(name: str, server: str) -> Fault | None:
    """Return the row that says so of the server in its installed version; ``None``: it does what is right."""
    for fault in _rows(name, server):
        if installed(fault.versions):
            return fault
    return None


def patience(name: str, server: str) -> float:
    """Seconds after which a test takes the server for one that hangs: few only where its row says that it does."""
    return _HANG if known(name, server) is None else _SHORT


def hold(name: str, server: str, seen: object, *, right: object, wrong: object = ...) -> None:
    """Assert that ``seen`` is ``right``, or exactly ``wrong`` where the table names the fault for this version.

    ``wrong`` is the row's own unless it is given. Where the two are equal, the case says nothing of the fault.
    """
    fault = known(name, server)
    if fault is None:
        assert seen == right, f"{server}, {name}: {seen!r}, and {right!r} is right. {_advice(name, server)}"
        return
    expected = fault.wrong if wrong is ... else wrong
    assert expected is not ..., f"{fault!r} has no value, and the test gives none"
    project = Requirement(fault.versions).name
    now = version_of(project)
    assert seen != right or expected == right, (
        f"{server}, {name}: {seen!r}, which is right: {project} {now} has mended it, or has not got it yet. "
        f"End {fault!r}: {project}<{now}, or the version that mended it; or begin it: {project}>{now}"
    )
    assert seen == expected, (
        f"{server}, {name}: {seen!r}; {right!r} is right, and {fault!r} expects {expected!r}: {fault.does}"
    )


def _check_name(name: str) -> None:
    """Raise if no row has the name: a test that asks for a misspelt one would never learn of its fault."""
    if not any(fault.name == name for fault in table.FAULTS):
        raise KeyError(f"no row of tests/support/faults has the name {name!r}")


def _rows(name: str, server: str) -> list[Fault]:
    _check_name(name)
    return [fault for fault in table.FAULTS if fault.name == name and server in fault.servers]


def _advice(name: str, server: str) -> str:
    rows = _rows(name, server)
    if not rows:
        return "If the server is at fault, tests/support/faults has no row that says so of it"
    versions = [
        f"{project} {version_of(project)}" for project in {Requirement(row.versions).name for row in rows}
    ]
    return f"{' and '.join(map(repr, rows))} does not name {', '.join(sorted(versions))}"
