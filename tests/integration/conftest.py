"""What several files of this folder ask for."""

from collections.abc import Iterator

import pytest

from tests.integration.apps.wsgi_reports import Reports


@pytest.fixture
def reports() -> Iterator[Reports]:
    """Where an app under test reports what happened to it."""
    with Reports() as listening:
        yield listening


@pytest.fixture(params=["", "/native"], ids=["bridge", "native"])
def side(request: pytest.FixtureRequest) -> str:
    """Where the app is: what both do, the server does."""
    path: str = request.param
    return path
