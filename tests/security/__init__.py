"""Rules of security, each case a test that names its rule: what is promised in ``SECURITY.md``.

    test_framing           where a request ends: two lengths, chunks beside a length, a body that is not as long as said
    test_splitting         no text of an application's becomes a header, or a response, of its own
    test_spoofing          no header of a client's passes for another one, or for what the server says
    test_paths             an app below a mount never sees a path outside of it
    test_floods            what a client sends much of costs in proportion
    test_frames            no frame of the bridge shows a request to those who print local variables
    test_debug_pages       the pages of debuggers are those that they are at home
    test_secrets           what the bridge adds to logs, errors and trackers of errors shows no secret

Rules that need a real server are in ``tests/integration/test_security_*``, and those that have long had a test have it
where they belong; the table in ``docs/guides/security.md`` names all of them.
"""
