"""The kinds of findings, as people are told of them."""

from bridge.check.findings import KINDS
from bridge.check.report import AREAS


def test_each_kind_has_an_area_and_sentences() -> None:
    in_areas = [kind for area in AREAS.values() for kind in area]
    assert sorted(in_areas) == sorted(KINDS)
    for kind in KINDS.values():
        assert kind.what
        assert kind.why.endswith(".")
        assert kind.do.endswith((".", "it."))
