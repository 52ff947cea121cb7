"""What each file here leaves as it was."""

from collections.abc import Iterator

import pytest

import bridge.mapping.environ
import bridge.mapping.headers
import bridge.mapping.scope
from bridge.mapping.learnt import Learnt


@pytest.fixture(scope="module", autouse=True)
def _forgets() -> Iterator[None]:
    """Other tests count what it costs to learn a name: they find no cache half full."""
    yield
    for module in (bridge.mapping.environ, bridge.mapping.headers, bridge.mapping.scope):
        for learnt in vars(module).values():
            if isinstance(learnt, Learnt):
                learnt.clear()
