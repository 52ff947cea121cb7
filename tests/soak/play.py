"""Playing scenarios: threads with a client each, which take the next one from one list.

The list's position and the complaints are guarded by a lock; a thread ends when the list is at its end. Each wait of a
client ends by the server, or by its socket's timeout.
"""

import threading
import time
from collections.abc import Callable, Sequence

from .http1 import Http1
from .http2 import Http2
from .model import Complaint, Seen, expected, judge
from .scenarios import App, Place, Scenario
from .target import Target
from .websocket import play_websocket, play_websocket_http2

__all__ = ["CLIENTS", "Playing"]

#: Clients at once.
CLIENTS = 16
_SOCKETS = {App.SOCKET_ECHO, App.SOCKET_FAIL, App.SOCKET_REFUSE}


class Playing:
    """Scenarios under way. ``complaints`` may be read when ``join()`` has returned."""

    def __init__(
        self,
        target: Target,
        place: Place,
        scenarios: Sequence[Scenario],
        *,
        clients: int = CLIENTS,
        played: Callable[[], object] = lambda: None,
    ) -> None:
        """``played`` is called after each one, on the thread of its client."""
        self.complaints: list[Complaint] = []
        self.requests = 0
        self._target = target
        self._place = place
        self._scenarios = scenarios
        self._next = 0
        self._played = played
        self._lock = threading.Lock()
        self._reached: list[tuple[int, threading.Event]] = []
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Return when all are played; raise what is no complaint of a server, but a fault of the soak."""
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def wait_for(self, number: int) -> None:
        """Return when ``number`` scenarios have been taken, or all threads have ended."""
        event = threading.Event()
        with self._lock:
            if self._next >= number:
                return
            self._reached.append((number, event))
        while not event.wait(0.1):
            if not any(thread.is_alive() for thread in self._threads):
                return

    # The clients' threads.

    def _take(self) -> Scenario | None:
        with self._lock:
            if self._next >= len(self._scenarios) or self._errors:
                return None
            scenario = self._scenarios[self._next]
            self._next += 1
            for number, event in self._reached:
                if self._next >= number:
                    event.set()
            return scenario

    def _work(self) -> None:
        client = Http2(self._target) if self._place.http2 else Http1(self._target)
        try:
            while (scenario := self._take()) is not None:
                self._one(client, scenario)
        except BaseException as error:
            self._errors.append(error)
        finally:
            client.close()

    def _one(self, client: Http1 | Http2, scenario: Scenario) -> None:
        stamp, began = self._target.stamp, time.monotonic()
        try:
            if scenario.work.app not in _SOCKETS:
                seen = client.play(scenario)
            elif self._place.http2:
                seen = play_websocket_http2(self._target, scenario)
            else:
                seen = play_websocket(self._target, scenario)
        except OSError as error:
            seen = [Seen(None, timed_out=isinstance(error, TimeoutError), note=repr(error))]
        rested = time.monotonic() - began >= self._target.idle
        disturbed = self._target.disturbed_since(stamp)
        if disturbed and seen and seen[0].status is None:
            time.sleep(0.05)  # it may be down for a second, and the list is not to be used up by that
        right = expected(scenario, self._place, disturbed=disturbed)
        complaints = [
            complaint
            for one in seen
            # Nothing at all came: the server had ended the connection before the request.
            if not (rested and one.status is None and not one.timed_out)
            if (complaint := judge(scenario, one, right)) is not None
        ]
        with self._lock:
            self.complaints += complaints
            self.requests += max(len(seen), 1)
        self._played()
