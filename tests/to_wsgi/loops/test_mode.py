"""Which kind of loop an app is run on, and what the log says of it. Greenlets: ``test_greenlets``."""

import sys

import pytest

from bridge.to_wsgi.loops import mode


@pytest.fixture
def greenlets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which gevent has replaced threads."""
    monkeypatch.setattr(mode, "patched_by", lambda: "gevent")


def test_threads_have_a_loop_for_each_request(caplog: pytest.LogCaptureFixture) -> None:
    assert mode.default_mode() == "request"
    mode.refuse_in_greenlets()
    mode.log_default_mode()
    assert caplog.messages == []


@pytest.mark.usefixtures("greenlets")
def test_greenlets_share_one(caplog: pytest.LogCaptureFixture) -> None:
    assert mode.default_mode() == "shared"
    with pytest.raises(RuntimeError, match=r"gevent .*AsgiToWsgi\(app, loop='shared'\) is for that"):
        mode.refuse_in_greenlets()
    mode.log_default_mode()
    (line,) = caplog.messages
    assert line.startswith("gevent has replaced the threads")


@pytest.mark.parametrize(
    ("version", "group", "warned"),
    [
        # The empty name is that of the main interpreter.
        ((3, 11), "", False),
        ((3, 11), None, False),
        ((3, 11), "site|/shop", True),
        ((3, 12), "site|/shop", False),
    ],
)
def test_several_interpreters(
    version: tuple[int, int],
    group: str | None,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    mode.warn_of_interpreters({} if group is None else {"mod_wsgi.application_group": group})
    assert [line.endswith("use WSGIApplicationGroup %{GLOBAL}") for line in caplog.messages] == [
        True
    ] * warned
