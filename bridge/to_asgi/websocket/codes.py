"""Close codes: RFC 6455, section 7.4.1, and the registry of section 11.7."""

__all__ = ["APP_ERROR", "LOST", "NORMAL", "NO_CODE", "POLICY", "RESTART", "SENDABLE", "TOO_BIG"]

NORMAL = 1000
#: No close frame has these two: the one came without a code, or none came at all.
NO_CODE = 1005
LOST = 1006
POLICY = 1008
TOO_BIG = 1009
#: The server met what it did not expect.
APP_ERROR = 1011
RESTART = 1012

#: The registered codes that an endpoint may send.
SENDABLE = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
