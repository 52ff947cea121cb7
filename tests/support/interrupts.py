"""A signal handler that raises, after each call in turn, and as a loop goes round.

The interpreter looks for signals as a function begins, after a call, and as a loop goes round: not between any two
instructions. So ``with lock`` of a lock in C is safe, and that of a ``threading.Condition`` is not: its ``__enter__()``
and ``__exit__()`` are functions of Python. ``sys.settrace`` raises at the second and the third kind of these points, in
the thread that calls; the begin of a function is not among what it tells.
"""

import dis
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["Interrupt", "interrupted"]

#: After these the interpreter looks for signals, on one version of Python or another.
_LOOKS = {"CALL", "CALL_FUNCTION_EX", "CALL_KW", "JUMP_BACKWARD"}


class Interrupt(BaseException):
    """What the handler raises: as SystemExit, it is no error of anybody's."""


def interrupted(call: Callable[[], object], at: int, modules: tuple[str, ...]) -> str | None:
    """Call it, and raise ``Interrupt`` at the point ``at``, counted in frames of ``modules``, by prefixes.

    Returns where that was. ``None``: ``call`` has not so many points, and has gone well. What it raises besides is
    raised.
    """
    left = at
    place: str | None = None
    names: dict[Any, dict[int, str]] = {}
    before: dict[FrameType, str] = {}

    def look(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal left, place
        if event == "call":
            if not str(frame.f_globals.get("__name__")).startswith(modules):
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            return look
        if event == "return":
            before.pop(frame, None)
        if event != "opcode":
            return look
        code = frame.f_code
        if code not in names:
            names[code] = {step.offset: step.opname for step in dis.get_instructions(code)}
        last, before[frame] = before.get(frame), names[code].get(frame.f_lasti, "")
        if last in _LOOKS:
            if not left:
                place = f"{frame.f_globals['__name__']}.{code.co_qualname}:{frame.f_lineno}"
                left = -1
                sys.settrace(None)
                raise Interrupt
            left -= 1
        return look

    traced = sys.gettrace()
    try:
        sys.settrace(look)
        call()
    except Interrupt:
        assert place is not None
    finally:
        sys.settrace(traced)
        before.clear()
    return place
