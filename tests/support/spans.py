"""OpenTelemetry in a test, or in an app of the tests: what would be exported is kept, and told by who is below whom."""

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

__all__ = ["CLIENT", "Spans", "named", "parents", "traceparent"]

#: The client's own span, which is in each ``traceparent``.
CLIENT = "00f067aa0ba902b7"


def traceparent(trace_id: str) -> str:
    """The header's value, by W3C Trace Context, section 3.2."""
    return f"00-{trace_id}-{CLIENT}-01"


class Spans:
    """A tracer, and what it has seen."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("tests")

    def finished(self) -> list[ReadableSpan]:
        """All spans until now, without those that ASGI's instrumentation makes for each message."""
        spans = self._exporter.get_finished_spans()
        return [span for span in spans if not span.name.endswith((" send", " receive"))]

    def clear(self) -> None:
        """Forget them."""
        self._exporter.clear()


def parents(spans: list[ReadableSpan], trace_id: str) -> list[tuple[str, ...]]:
    """Each span with those above it, from the client's trace on; one in a trace of its own is below ``"nothing"``."""
    by_id = {span.context.span_id: span for span in spans if span.context is not None}

    def line(span: ReadableSpan) -> tuple[str, ...]:
        if span.parent is None:
            return ("nothing", named(span))
        assert trace.format_trace_id(span.parent.trace_id) == trace_id
        above = by_id.get(span.parent.span_id)
        if above is None:
            assert trace.format_span_id(span.parent.span_id) == CLIENT
        return (*(() if above is None else line(above)), named(span))

    return sorted(line(span) for span in spans)


def named(span: ReadableSpan) -> str:
    """By its kind, and its maker."""
    if span.instrumentation_scope is None or span.instrumentation_scope.name == "tests":
        return span.name
    return f"{span.kind.name.lower()} {span.instrumentation_scope.name.rpartition('.')[2]}"
