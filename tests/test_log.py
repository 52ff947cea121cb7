"""Where an app's error goes that no server sees."""

import contextvars
import io
import logging
import logging.config
from collections.abc import Iterator

import pytest

from bridge import log
from bridge.log import adopt, log_app_error, logger, request_name


class Records(logging.Handler):
    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process that has configured nothing: pytest has handlers on the root logger."""
    monkeypatch.setattr(logger, "parent", None)
    monkeypatch.setattr(logger, "disabled", False)
    handlers, level, disabled = logger.handlers[:], logger.level, logging.root.manager.disable
    propagate = logger.propagate
    yield
    logger.handlers[:] = handlers
    logger.propagate = propagate
    logger.setLevel(level)
    logging.disable(disabled)


def told(errors: io.StringIO) -> int:
    text = errors.getvalue()
    assert text.count("GET '/x': it failed") == text.count("ValueError: kaputt")
    return text.count("ValueError: kaputt")


def fail() -> io.StringIO:
    errors = io.StringIO()
    try:
        raise ValueError("kaputt")
    except ValueError as error:
        log_app_error("%s: it failed", request_name("GET", "/x"), error=error, errors=errors)
    return errors


def test_without_a_handler_it_is_in_wsgi_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(fail()) == 1
    assert capsys.readouterr().err == ""


def test_with_a_handler_it_is_there_alone(capsys: pytest.CaptureFixture[str]) -> None:
    handler = Records()
    logger.addHandler(handler)
    assert told(fail()) == 0
    (record,) = handler.records
    assert record.getMessage() == "GET '/x': it failed"
    assert record.exc_info
    assert capsys.readouterr().err == ""


def test_a_handler_that_does_not_take_errors_is_none() -> None:
    handler = Records(logging.CRITICAL)
    logger.addHandler(handler)
    assert told(fail()) == 1
    assert not handler.records


def test_a_logger_that_a_configuration_has_switched_off_in_passing() -> None:
    logger.disabled = True
    assert told(fail()) == 1


@pytest.mark.parametrize("disabled", [False, True])
def test_a_level_is_meant(disabled: bool) -> None:
    logger.disabled = disabled
    logger.setLevel(logging.CRITICAL)
    assert told(fail()) == 0
    logger.setLevel(logging.ERROR)
    assert told(fail()) == 1
    logging.disable(logging.ERROR)
    assert told(fail()) == 0


def test_what_looks_at_records_sees_it_once_without_a_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[logging.LogRecord] = []
    call = logging.Logger.callHandlers

    def look(self: logging.Logger, record: logging.LogRecord) -> None:
        seen.append(record)
        call(self, record)

    # Sentry's own way.
    monkeypatch.setattr(logging.Logger, "callHandlers", look)
    assert told(fail()) == 1
    assert len(seen) == 1


def test_errors_that_can_not_be_written_to(capsys: pytest.CaptureFixture[str]) -> None:
    class Expired(io.StringIO):
        """As mod_wsgi's, when its request is over."""

        def write(self, text: str) -> int:
            raise RuntimeError("log object has expired")

    try:
        raise ValueError("kaputt")
    except ValueError as error:
        log_app_error("%s: it failed", "GET '/x'", error=error, errors=Expired())
    assert capsys.readouterr().err.count("ValueError: kaputt") == 1


def test_errors_that_can_not_be_flushed_have_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    class Expiring(io.StringIO):
        def flush(self) -> None:
            raise RuntimeError("log object has expired")

    errors = Expiring()
    log_app_error("%s: it failed", "GET '/x'", error=ValueError("kaputt"), errors=errors)
    assert told(errors) == 1
    assert capsys.readouterr().err == ""


def test_what_is_said_of_no_request_goes_where_python_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    logger.warning("look at %s", "this")
    assert capsys.readouterr().err.endswith("[WARNING] bridge: look at this\n")
    logger.info("no")
    assert capsys.readouterr().err == ""
    logger.addHandler(Records(logging.CRITICAL))
    logger.warning("who has configured handlers has done so")
    assert capsys.readouterr().err == ""


def test_who_configures_the_logger_has_it_for_himself() -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "incremental": False,
            "handlers": {"mine": {"class": "logging.NullHandler"}},
            "loggers": {"bridge": {"handlers": ["mine"], "propagate": False}},
        }
    )
    assert not any(isinstance(handler, log._LastResort) for handler in logger.handlers)
    assert told(fail()) == 0


def test_a_context_is_adopted() -> None:
    """What an app has bound, for the server's own log line of its error."""
    known: contextvars.ContextVar[str] = contextvars.ContextVar("known", default="")
    other: contextvars.ContextVar[str] = contextvars.ContextVar("other")

    def run() -> None:
        known.set("mine")
        other.set("of the server")
        app = contextvars.copy_context()
        app.run(known.set, "of the app")
        adopt(app)
        assert (known.get(), other.get()) == ("of the app", "of the server")

    contextvars.Context().run(run)


def test_a_request_in_a_log_has_no_line_breaks() -> None:
    assert request_name("GET", "/a b") == "GET '/a b'"
    assert request_name("G\nT", "/\n1970 forged\u2028\x1b[2J").isprintable()
