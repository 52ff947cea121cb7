"""What the probes write down, and where."""

import logging

from tests.check.written import Written


def test_logs_are_written_down_from_warnings_up_and_without_those_of_servers(written: Written) -> None:
    factory = logging.getLogRecordFactory()
    try:
        written.recorder.watch_logs()
        logging.getLogger("shop").info("nothing")
        logging.getLogger("shop").warning("no %s", "order")
        logging.getLogger("uvicorn.error").error("a server's")
        try:
            raise LookupError("x")
        except LookupError:
            logging.getLogger("shop").exception("failed\nin two lines")
    finally:
        logging.setLogRecordFactory(factory)
    logs = [(event["level"], event["text"], event["error"]) for event in written.events("log")]
    assert logs == [("WARNING", "no %s", ""), ("ERROR", "failed", "LookupError: x")]
