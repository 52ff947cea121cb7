"""What servers let through that the specifications have them refuse; see ``tests/integration/test_security_*``."""

from tests.support.faults.row import Fault

__all__ = ["SECURITY"]

_CLEAR = "requests without a clear end"

SECURITY = (
    Fault(
        name=_CLEAR,
        servers=("wsgiref",),
        versions="wsgiref",
        does="its header lines are read by the parser of mails, which ends them at a bare CR and at what is no header, "
        "takes the first of two lengths, and a hyphen for an underscore",
        right="each is a 400 (RFC 9112, sections 2.2, 5.1 and 6.3), and the last one is dropped",
        wrong=[
            *(
                "a bare CR in a value",
                "a blank in a name",
                "a first line that is folded",
                "a name that is not ASCII",
            ),
            *("an underscore", "chunked before a blank and a colon", "length before a blank and a colon"),
            *("lengths that differ", "the same, and a length"),
        ],
    ),
    Fault(
        name=_CLEAR,
        servers=("cheroot",),
        versions="cheroot",
        does="it strips whatever Python strips, takes the last of two lengths and what int() takes for a chunk's size, "
        "and writes names in upper case as Python does",
        right="each is a 400 (RFC 9112, sections 5.1, 6.3 and 7.1), and an underscore is dropped",
        wrong=[
            *("a chunk of +3", "a chunk of -1", "a chunk of 0x3", "a name that is not ASCII"),
            *(
                "a vertical tab before chunked",
                "a vertical tab before chunked, and a length",
                "an underscore",
            ),
            *("chunked before a blank and a colon", "length after a vertical tab"),
            *("length before a blank and a colon", "lengths that differ", "the same, and a length"),
        ],
    ),
    Fault(
        name=_CLEAR,
        servers=("granian-wsgi",),
        versions="granian",
        does="it ends the body where a chunk is none, as if it were whole, and takes an underscore for a hyphen",
        right="the body breaks off (RFC 9112, section 8), and an underscore is dropped",
        wrong=[
            *("a chunk longer than it says", "a chunk of +3", "a chunk of -1", "a chunk of 0x3"),
            *("a chunk of 70 bits", "an underscore", "chunks with line feeds alone"),
        ],
    ),
    Fault(
        name=_CLEAR,
        servers=("uwsgi",),
        versions="uwsgi",
        does="it takes a chunk's size in C's notation, and a hyphen for an underscore",
        right="a 400 (RFC 9112, section 7.1), and an underscore is dropped",
        wrong=["a chunk of 0x3", "an underscore", "chunked with an underscore"],
    ),
    *(
        Fault(
            name="request after one with two ends",
            servers=(name,),
            versions=name,
            does="it reads the chunks, and keeps the connection",
            right="it closes the connection (RFC 9112, section 6.1)",
            wrong=True,
        )
        for name in ("waitress", "cheroot")
    ),
    Fault(
        name="request after one without a clear end",
        servers=("cheroot",),
        versions="cheroot",
        does="it takes what Python's int() and strip() take, and reads on behind what it has made of that",
        right="a 400, and the connection is closed (RFC 9112, sections 6.1, 6.3 and 7.1)",
        wrong=[
            *("a chunk longer than it says", "a chunk of +3", "a chunk of -1", "a chunk of 0x3"),
            *("a vertical tab before chunked", "a vertical tab before chunked, and a length"),
            *("chunked before a blank and a colon", "length +3", "length -3", "length 3_0"),
            *("length after a vertical tab", "length before a blank and a colon", "lengths that differ"),
            "the same, and a length",
        ],
    ),
    Fault(
        name="request after one without a clear end",
        servers=("daphne",),
        versions="daphne",
        does="it passes over a Transfer-Encoding of identity, and reads on behind the length beside it",
        right="a 400, and the connection is closed (RFC 9112, sections 6.1 and 6.3)",
        wrong=["identity and a length"],
    ),
    Fault(
        name="malformed request of HTTP/2",
        servers=("hypercorn-h2c",),
        versions="h2<4.3",
        does="it passes on CR, LF and NUL in the values of headers, and in the method and the path",
        right="the stream is reset (RFC 9113, sections 8.2.1 and 10.3)",
        wrong=[
            *("NUL in a value (8.2.1)", "a blank in the method (10.3)", "a blank in the path (10.3)"),
            "a line break in a value (8.2.1)",
        ],
    ),
    Fault(
        name="malformed request of HTTP/2",
        servers=("granian",),
        versions="granian",
        does="it passes on a Host that is another one than the authority, and blanks around a value",
        right="the stream is reset (RFC 9113, sections 8.2.1 and 8.3.1)",
        wrong=["another host than the authority (8.3.1)", "blanks around a value (8.2.1)"],
    ),
    Fault(
        name="limit of a WebSocket message",
        servers=("uvicorn-wsproto",),
        versions="uvicorn<0.46",
        does="with wsproto it has none, whatever ws_max_size is",
        right="it ends the WebSocket with 1009, as with websockets",
        wrong=[1000],
    ),
    Fault(
        name="WebSocket message that inflates",
        servers=("uvicorn-wsproto", "hypercorn"),
        versions="wsproto",
        does="it inflates all that came at once before anybody asks for the size: some 64 MiB for 64 KiB",
        right="it inflates no more than the limit, as websockets does",
        wrong=True,
    ),
)
