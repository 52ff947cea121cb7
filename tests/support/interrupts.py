"""A signal handler that raises, after each call in turn, and as a loop goes round.

The interpreter looks for signals as a function begins, after a call, and as a loop goes round: not between any two
instructions. So ``with lock`` of a lock in C is safe (but for Python 3.14, see the table of faults), and that of a
``threading.Condition`` is not: its ``__enter__()`` and ``__exit__()`` are functions of Python. Here it raises at the
second and the third kind of these points, in the thread that calls.
"""

import dis
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
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
    steps = _Steps(at, modules)
    try:
        _run(call, steps)
    except Interrupt:
        assert steps.place is not None
    return steps.place


class _Steps:
    """Looks at each instruction, and raises behind the one that is meant."""

    def __init__(self, at: int, modules: tuple[str, ...]) -> None:
        self.place: str | None = None
        self._left = at
        self._modules = modules
        self._names: dict[CodeType, dict[int, str]] = {}
        self._before: dict[FrameType, str] = {}

    def meant(self, frame: FrameType) -> bool:
        return str(frame.f_globals.get("__name__")).startswith(self._modules)

    def look(self, frame: FrameType, offset: int) -> None:
        """The instruction there is the next one of the frame."""
        if self.place is not None:
            return
        code = frame.f_code
        if code not in self._names:
            self._names[code] = _names(code)
        last, self._before[frame] = self._before.get(frame), self._names[code].get(offset, "")
        if last not in _LOOKS:
            return
        if not self._left:
            self.place = f"{frame.f_globals['__name__']}.{code.co_qualname}:{frame.f_lineno}"
            self._before.clear()
            raise Interrupt
        self._left -= 1

    def left(self, frame: FrameType) -> None:
        """The frame has returned, or an error has left it."""
        self._before.pop(frame, None)


def _names(code: CodeType) -> dict[int, str]:
    """The instructions by their offset, but for the calls of ``__enter__()``, after which nobody looks."""
    names: dict[int, str] = {}
    last = ""
    for step in dis.get_instructions(code):
        names[step.offset] = step.opname if last != "LOAD_SPECIAL" else ""
        last = step.opname
    return names


if sys.version_info >= (3, 12):
    # There sys.settrace() tells of the instructions of a function from its second call on.

    def _run(call: Callable[[], object], steps: _Steps) -> None:
        monitoring = sys.monitoring
        events = monitoring.events
        me = threading.get_ident()

        def instruction(code: CodeType, offset: int) -> Any:
            frame = sys._getframe(1)
            if not steps.meant(frame):
                return monitoring.DISABLE
            if threading.get_ident() == me:
                steps.look(frame, offset)
            return None

        def left(*_: object) -> None:
            steps.left(sys._getframe(1))

        tool = next(number for number in range(6) if monitoring.get_tool(number) is None)
        monitoring.use_tool_id(tool, __name__)
        try:
            monitoring.register_callback(tool, events.INSTRUCTION, instruction)
            monitoring.register_callback(tool, events.PY_RETURN, left)
            monitoring.register_callback(tool, events.PY_UNWIND, left)
            # What another run was not interested in.
            monitoring.restart_events()
            monitoring.set_events(tool, events.INSTRUCTION | events.PY_RETURN | events.PY_UNWIND)
            call()
        finally:
            monitoring.set_events(tool, 0)
            for event in (events.INSTRUCTION, events.PY_RETURN, events.PY_UNWIND):
                monitoring.register_callback(tool, event, None)
            monitoring.free_tool_id(tool)

else:

    def _run(call: Callable[[], object], steps: _Steps) -> None:
        def trace(frame: FrameType, event: str, arg: object) -> Any:
            if event == "call":
                if not steps.meant(frame):
                    return None
                frame.f_trace_opcodes = True
                frame.f_trace_lines = False
            elif event == "opcode":
                steps.look(frame, frame.f_lasti)
            elif event == "return":
                steps.left(frame)
            return trace

        traced = sys.gettrace()
        try:
            sys.settrace(trace)
            call()
        finally:
            sys.settrace(traced)
