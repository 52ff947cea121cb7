"""Options from the command line, from variables and from pyproject.toml: one meaning, and which of them wins."""

from pathlib import Path
from typing import Any

import pytest

from bridge.cli.asked import Asked, MountPoint
from bridge.cli.errors import UsageError
from bridge.cli.options import OPTIONS
from bridge.cli.parser import serve_parser
from bridge.cli.sources import asked_for, from_environment, from_pyproject, from_words


def asked(
    words: str = "", environment: dict[str, str] | None = None, toml: str = "", at: Path = Path("/")
) -> Asked:
    if toml:
        (at / "pyproject.toml").write_text(f"[tool.bridge.serve]\n{toml}")
    said = vars(serve_parser().parse_args(words.split()))
    return asked_for([from_words(said), from_environment(environment or {}), from_pyproject(at)], ())


#: Option -> words, variable, TOML, value: a sample of each.
SAMPLES: dict[str, tuple[str, str, str, Any]] = {
    "mount": (
        "--mount /a=x:app --mount /=y:app,fallback",
        "/a=x:app /=y:app,fallback",
        '["/a=x:app", "/=y:app,fallback"]',
        (MountPoint(prefix="/a", app="x:app"), MountPoint(prefix="/", app="y:app", fallback=True)),
    ),
    "kind": ("--kind wsgi", "wsgi", '"wsgi"', "wsgi"),
    "factory": ("--factory", "true", "true", True),
    "port": ("-p 9000", "9000", "9000", 9000),
    "workers": ("-w 3", "3", "3", 3),
    "access_log": ("--no-access-log", "off", "false", False),
    "proxy_headers": ("--proxy-headers", "1", "true", True),
    "max_body_size": ("--max-body-size 10M", "10m", '"10M"', 10 << 20),
    "shutdown_timeout": ("--shutdown-timeout 0.5", "0.5", "0.5", 0.5),
    "loop": ("--loop shared", "shared", '"shared"', "shared"),
    "root_path": ("--root-path /x/", "/x/", '"/x"', "/x"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_an_option_means_the_same_wherever_it_stands(name: str, tmp_path: Path) -> None:
    words, variable, toml, value = SAMPLES[name]
    option = OPTIONS[name]
    expected = Asked(adapter={name: value}) if option.adapters else Asked(**{name: value})
    assert asked(words) == expected
    assert asked(environment={option.variable: variable}) == expected
    assert asked(toml=f"{option.flag[2:]} = {toml}", at=tmp_path) == expected


def test_the_command_line_wins_over_variables_and_these_over_the_file(tmp_path: Path) -> None:
    toml = 'app = "c:app"\nport = 3\nworkers = 3\nthreads = 3\nlifespan = "off"'
    variables = {"BRIDGE_PORT": "2", "BRIDGE_WORKERS": "2", "BRIDGE_LIFESPAN": "on", "BRIDGE_HOST": ""}
    assert asked("a:app -p 1", variables, toml, tmp_path) == Asked(
        app="a:app", port=1, workers=2, threads=3, adapter={"lifespan": "on"}
    )


def test_of_what_excludes_one_another_the_earlier_place_wins(tmp_path: Path) -> None:
    at = {"BRIDGE_BIND": "unix:/run/x", "BRIDGE_APP": "x:app", "BRIDGE_KIND": "wsgi"}
    here = asked("-p 1 --mount /=y:app", at, 'host = "::1"', tmp_path)
    assert (here.address.tcp, here.app, here.kind, len(here.mount)) == (("::1", 1), None, None, 1)
    assert asked("", at, "fd = 3\n", tmp_path).address.uds == "/run/x"


@pytest.mark.parametrize(
    ("words", "variables", "toml", "says"),
    [
        ("-p 65536", {}, "", "--port: '65536' is not a port, 0 to 65535"),
        ("", {"BRIDGE_PORT": "x"}, "", "BRIDGE_PORT: 'x' is not a port"),
        ("", {}, "port = -1", "pyproject.toml: port: '-1' is not a port"),
        ("", {}, "prot = 1", "pyproject.toml: prot is no option; did you mean port"),
        ("", {}, "port = true", "pyproject.toml: port: it is a text or a number"),
        ("", {}, 'reload = "yes"', "pyproject.toml: reload: it is true or false, without quotes"),
        ("", {}, 'mount = "/=x:app"', "pyproject.toml: mount: it is a list of texts"),
        ("", {}, "port = ", "pyproject.toml: Invalid value"),
        ("", {"BRIDGE_RELOAD": "maybe"}, "", "BRIDGE_RELOAD: 'maybe' is neither true nor false"),
        ("--server uvicron", {}, "", "--server: 'uvicron' is none of .*; did you mean uvicorn?"),
        ("-p 1 --uds /x", {}, "", "--port and --uds contradict each other: say where to listen once"),
        ("", {"BRIDGE_FD": "3", "BRIDGE_BIND": ":1"}, "", "--bind and --fd contradict each other"),
        ("x:app --mount /=y:app", {}, "", "x:app and --mount: say APP, or mount all there is"),
        ("--mount /=y:app --kind wsgi", {}, "", "--kind and --factory are for one APP"),
        ("--max-body-size 3x", {}, "", "'3x' is not a number of bytes, such as 65536, 64k or 10M"),
        ("--request-buffer 0", {}, "", "'0' is not a number of bytes from 1 up"),
        ("--shutdown-timeout -1", {}, "", "'-1' is not a number of seconds"),
        ("--backlog many", {}, "", "'many' is not a number from 0 up"),
        ("--host=", {}, "", "--host: it is empty; 0.0.0.0 is everywhere"),
        ("--bind ::1", {}, "", r"--bind: '::1' is an IPv6 address; write \[::1\]"),
        ("--forwarded-allow-ips proxy", {}, "", "--forwarded-allow-ips: 'proxy' is neither an address"),
        ("--root-path api", {}, "", "--root-path: the prefix 'api' does not begin with a slash"),
        ("--mount y:app", {}, "", "--mount: 'y:app' is not /prefix=APP, such as /api=new.main:app"),
        ("--mount /=", {}, "", "--mount: '/=' is not /prefix=APP"),
        ("--mount /x=,fallback", {}, "", "--mount: '/x=,fallback' is not /prefix=APP"),
        ("--mount /x=a:app,fallbak", {}, "", "--mount: '/x=a:app,fallbak' ends with ,fallbak"),
        ("--mount api=y:app", {}, "", "the prefix 'api' does not begin with a slash: write '/api'"),
    ],
)
def test_the_error_names_the_place_and_the_rule(
    words: str, variables: dict[str, str], toml: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"^{says}" if says[0] in "-Bpx" else says) as caught:
        asked(words, variables, toml, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/=a:b", ("/", "a:b", False)),
        ("/api/=a", ("/api", "a", False)),
        ("/api=a:make('x',y=1)", ("/api", "a:make('x',y=1)", False)),
        ("/a=a:make(1),fallback", ("/a", "a:make(1)", True)),
    ],
)
def test_mounts_as_words(text: str, expected: tuple[str, str, bool]) -> None:
    [mount] = asked(f"--mount {text}").mount
    assert (mount.prefix, mount.app, mount.fallback) == expected
