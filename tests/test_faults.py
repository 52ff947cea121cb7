"""The table of faults: the mechanism itself, and that the documentation and bridge's comments say what it says."""

import re

import pytest
from packaging.requirements import Requirement

from bridge.cli.servers import SERVERS as SERVED
from tests.layers import PACKAGE
from tests.support.faults import FAULTS, Fault, hold, installed, known, patience, table, version_of
from tests.support.servers import REPOSITORY, SERVERS

NOW = version_of("granian")
PROJECTS = (
    "uvicorn",
    "hypercorn",
    "granian",
    "daphne",
    "gunicorn",
    "waitress",
    "wsgiref",
    "cheroot",
    "uWSGI",
    "mod_wsgi",
)
# Words of docs/servers.md about servers that are of no row: and what says so, or shows it.
LAWFUL = {
    "cheroot does the same": "its command line leaves SIGTERM to the system; the tests' runner stops it in good order",
    "A network that goes dead under a WebSocket is noticed by the server's pings": "the servers' own options",
    "The pings of a library such as flask-sock reach the bridge, not the client": "test_ping_interval_of_flask_sock",
    "flask-sock under gunicorn takes gunicorn's own socket, past WSGI": "gunicorn.socket, which flask-sock looks for",
    "It works there, holds one of the worker's threads": "the same",
    "gunicorn, waitress and cheroot cut the connection": "test_error_in_the_middle_never_looks_like_the_end",
    "mod_wsgi makes an interpreter for each app and port": "mod_wsgi's documentation; test_mod_wsgis_interpreters",
    "there, trust a `Content-Length` alone": "test_upload_that_breaks_off_is_never_whole",
    "An app that leaves a larger body unread hears late": "test_asgi_servers_leaving.py",
    "On hypercorn, granian and daphne it hears nothing while": "told behind the body; bridge.to_asgi.body.Stream",
    "A client that leaves an idle stream is noticed where the WSGI server shows its connection": "SHOWS_CONNECTION",
    "cheroot, wsgiref, uWSGI, mod_wsgi and granian don't": "SHOWS_CONNECTION",
}


def row(versions: str, *, wrong: object = "half") -> Fault:
    return Fault(name="a fault", servers=("granian",), versions=versions, does="it halves", wrong=wrong)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> "Table":
    return Table(monkeypatch)


class Table:
    """Puts other rows in the place of the table."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def has(self, *rows: Fault) -> None:
        self._monkeypatch.setattr(table, "FAULTS", rows)


# The mechanism.


def test_a_fault_of_this_version_is_expected(rows: Table) -> None:
    rows.has(row("granian"))
    hold("a fault", "granian", "half", right="whole")
    assert known("a fault", "granian") is not None


def test_what_has_been_mended_names_the_row_to_end(rows: Table) -> None:
    for versions in ("granian", f"granian<={NOW}"):
        rows.has(row(versions))
        with pytest.raises(AssertionError) as failed:
            hold("a fault", "granian", "whole", right="whole")
        assert f"granian {NOW} has mended it, or has not got it yet" in str(failed.value)
        assert f"End the row 'a fault' for '{versions}' in tests/support/faults: granian<{NOW}" in str(
            failed.value
        )


def test_another_failure_does_not_hide_behind_a_fault(rows: Table) -> None:
    rows.has(row("granian"))
    with pytest.raises(
        AssertionError, match=r"'none'; 'whole' is right, and the row .* expects 'half': it halves"
    ):
        hold("a fault", "granian", "none", right="whole")


def test_a_version_outside_has_to_be_right(rows: Table) -> None:
    rows.has(row(f"granian<{NOW}"))
    hold("a fault", "granian", "whole", right="whole")
    assert known("a fault", "granian") is None
    with pytest.raises(AssertionError, match=f"'half', and 'whole' is right. .*does not name granian {NOW}"):
        hold("a fault", "granian", "half", right="whole")


def test_another_server_has_to_be_right(rows: Table) -> None:
    rows.has(row("granian"))
    hold("a fault", "daphne", "whole", right="whole")
    with pytest.raises(AssertionError, match="no row that says so"):
        hold("a fault", "daphne", "half", right="whole")


def test_a_case_that_says_nothing_of_the_fault(rows: Table) -> None:
    rows.has(row("granian"))
    hold("a fault", "granian", "", right="", wrong="")
    with pytest.raises(AssertionError):
        hold("a fault", "granian", "half", right="", wrong="")


def test_a_misspelt_name_is_an_error() -> None:
    with pytest.raises(KeyError, match="lifespans"):
        known("lifespans", "daphne")


def test_a_server_that_may_be_slow_is_not_taken_for_one_that_hangs(rows: Table) -> None:
    rows.has(row("granian"))
    assert patience("a fault", "granian") < patience("a fault", "daphne")


def test_one_of_several_rows_applies(rows: Table) -> None:
    """As where a fault came, went, and came again in another form."""
    rows.has(row("granian<1"), row(f"granian>=1,<={NOW}", wrong="third"), row(f"granian>{NOW}"))
    hold("a fault", "granian", "third", right="whole")


def test_versions_of_python_count() -> None:
    assert installed('granian; python_version >= "3.11"')
    assert not installed('granian; python_version < "3.11"')
    assert installed("wsgiref>=3.11")
    with pytest.raises(LookupError):
        installed("no-such-project-of-this-name")


# The table.


def test_rows_are_about_servers_of_the_tests() -> None:
    for fault in FAULTS:
        assert fault.servers
        assert set(fault.servers) <= SERVERS.keys() | SERVED.keys(), fault
        assert bool(fault.right) is not bool(fault.lawful), f"{fault!r} is a fault, or it is lawful"
        assert fault.unshown or fault.wrong is not ..., (
            f"{fault!r} says neither what is seen nor why nothing is"
        )
        Requirement(fault.versions)


@pytest.mark.parametrize("name", sorted({fault.name for fault in FAULTS}))
def test_each_row_is_held_by_a_test(name: str) -> None:
    """Else nobody would learn that it has been mended. One that can't be shown says why, and somebody needs it."""
    rows = [fault for fault in FAULTS if fault.name == name]
    tests = "".join(path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py"))
    held = re.search(rf'hold\w*\((server, )?"{re.escape(name)}"', tests)
    if not all(fault.unshown for fault in rows):
        assert held
    else:
        assert not held, "it is shown after all"
        assert f'known("{name}"' in tests or any(fault.bridge or fault.docs for fault in rows)


# The documentation.


def words(text: str) -> str:
    """Return the text with single spaces in place of its line ends."""
    return re.sub(r"\s+", " ", text).strip()


PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
DOCS = words(" ".join(page.read_text() for page in PAGES))
SERVERS_PAGE = re.sub(r"^#.*$", "", (REPOSITORY / "docs" / "servers.md").read_text(), flags=re.MULTILINE)
BULLETS = [words(bullet) for bullet in re.split(r"^- ", SERVERS_PAGE, flags=re.MULTILINE)[1:]]
SECTION = "\n".join(BULLETS)
SENTENCES = [
    sentence
    for bullet in BULLETS
    if re.search("|".join(PROJECTS), bullet)
    for sentence in re.split(r"(?<=[^.][.;]) ", bullet)
]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.docs], ids=repr)
def test_the_documentation_says_it_of_the_same_versions(fault: Fault) -> None:
    for phrase in fault.docs:
        assert phrase in DOCS, f"{fault!r} has words that the documentation has not"
    said = " ".join(fault.docs)
    assert_names_bounds(fault, said, "the documentation")
    if not Requirement(fault.versions).specifier:
        assert not re.search(r"\b(before|from|since|until) \d", said), (
            f"{fault!r} has no bound, and the documentation one"
        )


@pytest.mark.parametrize("sentence", SENTENCES)
def test_each_sentence_about_a_server_is_somebodys(sentence: str) -> None:
    claims = [phrase for fault in FAULTS for phrase in fault.docs] + list(LAWFUL)
    assert any(claim in sentence for claim in claims), (
        "no row of tests/support/faults has words of it, and LAWFUL has none either"
    )


@pytest.mark.parametrize("phrase", LAWFUL)
def test_what_is_lawful_is_in_the_documentation(phrase: str) -> None:
    assert phrase in SECTION


# The comments of bridge.

_MENTION = re.compile(rf"({'|'.join(PROJECTS)}) \(?(\d+\.\d+[.\d]*)")


def test_comments_that_name_a_version_are_somebodys() -> None:
    """A workaround whose fault has been mended in all supported versions can go: the row says which it is."""
    said = {
        (path.relative_to(PACKAGE).as_posix(), project)
        for path in PACKAGE.rglob("*.py")
        for project, _ in _MENTION.findall(words(path.read_text()))
    }
    rows = {(module, Requirement(fault.versions).name) for fault in FAULTS for module in fault.bridge}
    assert said == rows


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.bridge], ids=repr)
def test_comments_say_it_of_the_same_versions(fault: Fault) -> None:
    for module in fault.bridge:
        assert_names_bounds(fault, words((PACKAGE / module).read_text()), module)


def assert_names_bounds(fault: Fault, text: str, where: str) -> None:
    """Raise unless ``text`` names each version at which the row begins or ends."""
    for specifier in Requirement(fault.versions).specifier:
        assert specifier.version in text, f"{fault!r} begins or ends there, and {where} does not say so"
