"""Fuzzes the mapping by atheris: it draws what reaches lines that nothing before has reached.

    python -m tests.fuzz SECONDS            # for each law of test_mapping.py
    python -m tests.fuzz SECONDS NAME       # for one of them

atheris is in the dependency group ``fuzz``; it has wheels for some versions of Python only.
"""

import importlib
import subprocess
import sys

import atheris

#: The laws, by their names in test_mapping.py.
LAWS = (
    "test_an_odd_scope_is_mapped_or_has_no_path",
    "test_a_scope_comes_back",
    "test_no_field_passes_for_another",
    "test_an_environ_comes_back",
    "test_any_start_response_is_taken_or_an_error_of_the_app",
    "test_any_response_start_is_taken_or_an_error_of_the_app",
)


def main(seconds: str, name: str | None = None) -> int:
    if name is None:
        # libFuzzer ends its process.
        runs = [
            subprocess.run([sys.executable, "-m", "tests.fuzz", seconds, law], check=False) for law in LAWS
        ]
        # Below zero where a signal has ended one, of a crash for example.
        return int(any(run.returncode for run in runs))
    with atheris.instrument_imports(include=["bridge.mapping"]):
        laws = importlib.import_module("tests.fuzz.test_mapping")
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}"], getattr(laws, name).hypothesis.fuzz_one_input)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
