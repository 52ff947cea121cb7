"""A short soak of WebSockets over HTTP/2: each way in which an app and a client may end one, several times."""

from pathlib import Path

from tests.soak.run import Plan, live
from tests.soak.scenarios import App, Client, draw
from tests.soak.servers import SERVERS
from tests.soak.short import FIXED

APPS = {App.SOCKET_ECHO, App.SOCKET_FAIL, App.SOCKET_REFUSE}
CLIENTS = {Client.CLOSE, Client.STALL, Client.LEAVE_IN_ANSWER, Client.RESET_IN_ANSWER, Client.PIPELINE}


def test_nothing_is_lost(tmp_path: Path) -> None:
    server = SERVERS["hypercorn-h2"]
    drawn = draw(FIXED, range(600), server.place_of("bridge"))
    scenarios = [scenario for scenario in drawn if scenario.work.app in APPS]
    ways = {(scenario.work.app, scenario.client) for scenario in scenarios}
    assert ways == {(app, client) for app in APPS for client in CLIENTS}
    life = live(Plan(server, "bridge", FIXED, scenarios), tmp_path)
    assert not life.complaints, "\n".join(map(str, life.complaints))
    assert life.requests >= len(scenarios)
