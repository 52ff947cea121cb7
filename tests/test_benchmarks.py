"""The benchmarks run: in process, with counts too small to mean anything. No figure of theirs is a test."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

from tests.support.processes import alive, ended_while_it_begins
from tests.support.servers import poll

REPOSITORY = Path(__file__).resolve().parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    # The width of the tables, whatever terminal the tests have.
    environ = os.environ | {"COLUMNS": "140", "PYTHONWARNINGS": "error"}
    return subprocess.run(
        command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, timeout=90, check=False
    )


@pytest.fixture(scope="module")
def output() -> str:
    pytest.importorskip("rich", reason="the benchmarks' own dependency")
    done = run("--quick", "--rounds", "1", "--seconds", "0.005", "--only", "in-process")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "subjects"),
    [
        ("wsgi.one", ("bridge", "a2wsgi", "uvicorn's old", "asgiref", "bare run_in_executor")),
        ("wsgi.32", ("bridge", "a2wsgi", "uvicorn's old", "asgiref", "bare run_in_executor")),
        ("wsgi.chunks", ("bridge", "a2wsgi", "uvicorn's old", "asgiref", "native ASGI")),
        ("asgi.one", ("bridge", "bridge, shared loop", "a2wsgi", "asyncio.run")),
        ("asgi.threads", ("bridge", "bridge, shared loop", "a2wsgi", "asyncio.run")),
        ("asgi.chunks", ("bridge", "bridge, shared loop", "a2wsgi", "native WSGI")),
    ],
)
def test_each_benchmark_in_process_prints_a_row_of_figures_for_each_subject(
    output: str, name: str, subjects: tuple[str, ...]
) -> None:
    table = output.split(f"in-process.{name}: ")[1].split("└", maxsplit=1)[0]
    for subject in subjects:
        row = re.search(rf"^│ {re.escape(subject)} +│(.*)│$", table, re.MULTILINE)
        assert row is not None, table
        # A rate or a time, processor time, and the ratio. Rounded: after 5 ms of a loaded machine any of them may be 0.
        for cell in row[1].split("│")[:3]:
            assert re.fullmatch(r"[\d,]+(\.\d+)?", cell.strip()), table


def test_small_counts_get_no_verdict(output: str) -> None:
    assert "wanted" not in output


def test_targets_are_printed_beside_what_was_measured() -> None:
    done = run("--rounds", "1", "--seconds", "0.005", "--only", "in-process.wsgi.one")
    assert done.returncode == 0, done.stderr
    targets = done.stdout.rsplit("Targets", 1)[1]
    assert len(re.findall(r"at (?:least|most) [\d.]+x wanted, [\d.]+x measured", targets)) == 2


def test_a_run_leaves_its_figures_and_plots(tmp_path: Path) -> None:
    """Of real figures; the plots of servers and curves are drawn of ones like them."""
    quick = (
        "--quick",
        "--rounds",
        "1",
        "--seconds",
        "0.005",
        "--only",
        "in-process.wsgi.one",
        "--only",
        "account",
    )
    done = run(*quick, "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "figures.json").read_text())
    group = data["groups"]["in-process.wsgi.one"]
    assert group["subjects"]["bare run_in_executor"]["ratio"] == 1.0
    assert group["subjects"]["bridge"]["seconds each"] > 0
    assert data["machine"]["versions"]["uvicorn"]
    for name in ("servers.uvicorn.hello", "servers.gthread.upload"):
        data["groups"][name] = group | {"measures": "rate" if name.endswith("hello") else "time"}
    points = {
        "bridge": {"1": [3.0, 4.0], "100": [30.0, 31.0]},
        "native": {"1": [1.0, 1.0], "100": [9.0, 9.0]},
    }
    for place in ("uvicorn", "gthread"):
        for axis, figure in (("chunks", "CPU us per request"), ("bytes", "growth of resident memory, MiB")):
            curve = {"title": f"an app: {axis}", "axis": axis, "figure": figure, "subjects": points}
            data["curves"][f"curves.{place}.{axis}"] = curve
    (tmp_path / "figures.json").write_text(json.dumps(data))
    done = run("--draw", str(tmp_path))
    assert done.returncode == 0, done.stderr
    names = [Path(line).name for line in done.stdout.splitlines()]
    assert names[0] == "figures.inc"
    tables = (tmp_path / names.pop(0)).read_text()
    assert "| bare run_in_executor |" in tables
    for title, beside in (
        ("a WSGI app on an ASGI server", "run_in_executor"),
        ("a WSGI app on an ASGI server, 32 at once", "run_in_executor"),
        ("an ASGI app on a WSGI server", "run_until_complete on a kept loop"),
    ):
        whole = sum(data["account"][title].values())
        assert f"**One request, {title}**" in tables
        assert (
            f"| the whole | {whole:.1f} | |\n| beside it: {beside} | {data['beside'][title][beside]:.1f} |"
            in tables
        )
    assert names == ["throughput.svg", "transfers.svg", "cost-uvicorn.svg", "cost-gthread.svg"]
    for name in names:
        text = (tmp_path / name).read_text()
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert "prefers-color-scheme:dark" in text, "legible on dark pages"
        assert "currentColor" in text
        assert f"uvicorn {data['machine']['versions']['uvicorn']}" in text
        assert data["machine"]["date"] in text


def test_a_run_that_is_terminated_leaves_no_server() -> None:
    pytest.importorskip("rich", reason="the benchmarks' own dependency")
    command = [sys.executable, "-m", "benchmarks", "--only", "servers.uvicorn.chunks"]
    benchmarks = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    started: list[psutil.Process] = []
    try:
        run_by_it = psutil.Process(benchmarks.pid)
        poll(lambda: len(run_by_it.children()) > 1, 60, lambda: "it starts no servers")
        started = run_by_it.children(recursive=True)
        benchmarks.terminate()
        said, _ = benchmarks.communicate(timeout=90)
        left = alive(started)
    finally:
        benchmarks.kill()
        for process in alive(started):
            process.kill()
    assert benchmarks.returncode == 128 + signal.SIGTERM, said
    assert not left


def test_a_signal_that_comes_while_a_server_is_begun_leaves_none(tmp_path: Path) -> None:
    pytest.importorskip("rich", reason="the benchmarks' own dependency")
    done, left = ended_while_it_begins(
        "benchmarks.__main__", "uvicorn", "--only", "servers.uvicorn.chunks", directory=tmp_path
    )
    assert "begun\n" in done.stdout
    assert done.returncode == 128 + signal.SIGTERM, done.stdout
    assert not left


def test_a_name_that_no_benchmark_has_is_refused_with_the_names_there_are() -> None:
    done = run("--only", "in-proces.wsgi")
    assert done.returncode == 2
    assert "no benchmark begins with 'in-proces.wsgi'" in done.stderr
    assert "in-process.wsgi.one" in done.stderr
