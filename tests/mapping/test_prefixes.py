"""Path prefixes: which one a path is under, and what an app there sees of it."""

from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.mapping.prefixes import (
    PrefixTable,
    is_under,
    normal_prefix,
    split_environ,
    split_path,
    under_prefix,
)

segments = st.text(st.sampled_from("ab/é%"), max_size=3)
paths = st.lists(segments, max_size=5).map(lambda parts: "/" + "/".join(parts))


def slow_longest(prefixes: list[str], path: str) -> str | None:
    """What the table does, as a sentence: the longest of the prefixes whose segments the path begins with."""
    words = path.split("/")
    fitting = [
        prefix for prefix in prefixes if not prefix or words[: len(prefix.split("/"))] == prefix.split("/")
    ]
    return max(fitting, key=len, default=None)


@given(st.lists(paths.map(lambda path: path.rstrip("/")), max_size=8), paths)
def test_the_longest_prefix_at_a_boundary_of_segments_is_found(prefixes: list[str], path: str) -> None:
    table = PrefixTable({prefix: prefix for prefix in prefixes})
    assert table.find(path) == slow_longest(prefixes, path)


@given(st.lists(paths.map(lambda path: path.rstrip("/")), min_size=1, max_size=8), st.data())
def test_paths_that_begin_with_a_prefix(prefixes: list[str], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(prefixes)) + data.draw(st.sampled_from(["", "/", "/a", "a", "//b"]))
    table = PrefixTable({prefix: prefix for prefix in prefixes})
    assert table.find(path) == slow_longest(prefixes, path)


class Counted(str):
    """A string that counts how often it is searched."""

    searches = 0

    def rfind(self, *args: Any) -> int:
        self.searches += 1
        return super().rfind(*args)


def test_a_long_path_costs_as_many_steps_as_the_longest_prefix_has_segments() -> None:
    table = PrefixTable({"/a/b/c": 1, "": 0})
    path = Counted("/" * 60_000)
    assert table.find(path) == 0
    assert path.searches <= 7


@pytest.mark.parametrize(
    ("prefix", "path", "under"),
    [
        ("/api", "/api", True),
        ("/api", "/api/", True),
        ("/api", "/api/x", True),
        ("/api", "/apix", False),
        ("/api", "/ap", False),
        ("/api", "//api", False),
        ("/api", "/API", False),
        ("", "/x", True),
        ("", "", True),
    ],
)
def test_is_under(prefix: str, path: str, under: bool) -> None:
    assert is_under(prefix, path) is under
    assert (PrefixTable({prefix: True}).find(path) is not None) is (under or not prefix)


@pytest.mark.parametrize(
    ("prefix", "normal"),
    [("/", ""), ("/api", "/api"), ("/api/", "/api"), ("/a b/é", "/a b/é"), ("/a/b/", "/a/b")],
)
def test_normal_prefix(prefix: str, normal: str) -> None:
    assert normal_prefix(prefix) == normal


@pytest.mark.parametrize(
    ("prefix", "error", "says"),
    [
        ("api", ValueError, "does not begin with a slash: write '/api'"),
        ("", ValueError, "does not begin with a slash: write '/'"),
        (None, TypeError, "no string"),
        (b"/api", TypeError, "no string"),
        ("/api?x=1", ValueError, "query"),
        ("/api#x", ValueError, "fragment"),
        ("/a%20b", ValueError, "write '/a b'"),
        ("//", ValueError, "empty"),
        ("/a//b", ValueError, "empty"),
        ("/a/../b", ValueError, "dots"),
        ("/.", ValueError, "dots"),
    ],
)
def test_what_is_no_prefix_is_refused(prefix: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match="prefix") as caught:
        normal_prefix(prefix)
    assert says in str(caught.value)


def mounted(scope: dict[str, Any], prefix: str) -> tuple[Any, Any, Any]:
    root_path, rest = split_path(scope)
    assert is_under(prefix, rest)
    under = under_prefix(scope, prefix, root_path, rest)
    return under["root_path"], under["path"], under.get("raw_path")


@pytest.mark.parametrize(
    ("scope", "prefix", "expected"),
    [
        # No root path of the server's.
        ({"path": "/api/x"}, "/api", ("/api", "/api/x", None)),
        ({"path": "/api/x", "raw_path": b"/%61pi/x"}, "/api", ("/api", "/api/x", b"/%61pi/x")),
        ({"path": "/api/x", "raw_path": None, "root_path": ""}, "/api", ("/api", "/api/x", None)),
        # In front of the path, as uvicorn puts it there.
        (
            {"path": "/site/api/x", "raw_path": b"/site/api/x", "root_path": "/site"},
            "/api",
            ("/site/api", "/site/api/x", b"/site/api/x"),
        ),
        # Not in front: hypercorn, granian.
        (
            {"path": "/api/x", "raw_path": b"/api/%78", "root_path": "/site"},
            "/api",
            ("/site/api", "/site/api/x", b"/site/api/%78"),
        ),
        (
            {"path": "/api", "raw_path": b"/api", "root_path": "/é"},
            "/api",
            ("/é/api", "/é/api", b"/%C3%A9/api"),
        ),
        # Half a segment is no prefix.
        (
            {"path": "/siteapi", "raw_path": b"/siteapi", "root_path": "/site"},
            "/siteapi",
            ("/site/siteapi", "/site/siteapi", b"/site/siteapi"),
        ),
        # Other ways to write it.
        ({"path": "/site/api", "root_path": "/site/"}, "/api", ("/site/api", "/site/api", None)),
        ({"path": "/api", "root_path": "/"}, "/api", ("/api", "/api", None)),
        # An absolute URL as the request's target.
        (
            {"path": "http://host/api/x", "raw_path": b"http://host/api/x", "root_path": ""},
            "/api",
            ("/api", "/api/x", b"/api/x"),
        ),
        (
            {"path": "http://host/api/x", "raw_path": b"http://host/api/x", "root_path": "/site"},
            "/api",
            ("/site/api", "/site/api/x", b"/site/api/x"),
        ),
    ],
)
def test_scopes(scope: dict[str, Any], prefix: str, expected: tuple[Any, Any, Any]) -> None:
    before = dict(scope)
    assert mounted(scope, prefix) == expected
    assert scope == before, "the server's scope is as it was"


@pytest.mark.parametrize("path", ["*", "host:443", ""])
def test_a_target_without_a_path_is_under_the_root_alone(path: str) -> None:
    assert split_path({"path": path, "root_path": ""}) == ("", "")


@given(paths, st.sampled_from(["", "/site", "/é/x"]), st.booleans())
def test_path_and_raw_path_say_the_same(path: str, root_path: str, in_front: bool) -> None:
    whole = root_path + path if in_front else path
    scope = {"path": whole, "raw_path": quote(whole).encode(), "root_path": root_path}
    rooted, rest = split_path(scope)
    under = under_prefix(scope, "", rooted, rest)
    assert under["path"] == rooted + rest
    assert unquote(under["raw_path"].decode()) == under["path"]
    # Once more, as a dispatcher in a dispatcher sees it: the same.
    assert split_path(under) == (rooted, rest)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ("", "")),
        ({"SCRIPT_NAME": "/site", "PATH_INFO": "/x"}, ("/site", "/x")),
        ({"SCRIPT_NAME": "/site", "PATH_INFO": ""}, ("/site", "")),
        ({"SCRIPT_NAME": "/site/", "PATH_INFO": "x"}, ("/site", "/x")),
        ({"SCRIPT_NAME": "/site/", "PATH_INFO": "/x"}, ("/site", "/x")),
        ({"SCRIPT_NAME": "/", "PATH_INFO": "/x"}, ("", "/x")),
        ({"SCRIPT_NAME": "/", "PATH_INFO": ""}, ("", "/")),
    ],
)
def test_an_environ_in_its_normal_form(environ: dict[str, str], expected: tuple[str, str]) -> None:
    assert split_environ(environ) == expected
