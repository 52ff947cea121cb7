"""The table of options against what it stands for: the adapters' parameters and their defaults."""

import dataclasses
import inspect

import pytest

from bridge.cli.asked import Asked
from bridge.cli.options import ADAPTER_OPTIONS, OPTIONS
from bridge.to_asgi.adapter import WsgiToAsgi
from bridge.to_wsgi.adapter import AsgiToWsgi

ADAPTERS = {"WsgiToAsgi": WsgiToAsgi, "AsgiToWsgi": AsgiToWsgi}
#: What no word can say: threads of the program's own.
NOT_OPTIONS = {"executor"}


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_parameter_of_the_adapters_is_an_option(name: str) -> None:
    parameters = set(inspect.signature(ADAPTERS[name]).parameters) - {"app"} - NOT_OPTIONS
    options = {option.name for option in ADAPTER_OPTIONS.values() if name in option.adapters}
    assert parameters - {"threads"} == options


@pytest.mark.parametrize("name", [name for name in ADAPTER_OPTIONS if "(default " in OPTIONS[name].help])
def test_the_help_tells_the_true_default(name: str) -> None:
    option = OPTIONS[name]
    default = inspect.signature(ADAPTERS[option.adapters[0]]).parameters[name].default
    told = option.help.rpartition("(default ")[2].rstrip(")")
    if default is None:  # what None means is in the adapter's text
        assert told in {"512", "request"}
    else:
        assert option.value(told) == default
    assert (
        f"(default {inspect.signature(WsgiToAsgi).parameters['threads'].default})" in OPTIONS["threads"].help
    )


def test_what_is_asked_for_has_a_field_for_each_other_option() -> None:
    fields = {field.name for field in dataclasses.fields(Asked)}
    assert fields == OPTIONS.keys() - ADAPTER_OPTIONS.keys() | {"app", "adapter", "extra"}
