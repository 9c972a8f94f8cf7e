"""Settings of Gunicorn about TLS and HTTP/2."""

from __future__ import annotations

from . import values
from .setting import (
    BOOLEAN,
    NUMBER,
    TEXT,
    Choice,
    Choices,
    Kind,
    Outcome,
    Setting,
    Verdict,
    ignored,
    is_off,
    refused,
    ruled,
)

TLS = "TLS isn't there yet: put a proxy such as nginx in front"
HTTP2 = "HTTP/2 is not spoken; clients use HTTP/1.1"
HTTP2_CLEARTEXT = "HTTP/2 is not spoken, and a client that takes it for granted would fail"


def _cleartext(choice: Choice, choices: Choices) -> Outcome:
    if choice.value == "upgrade":
        return Outcome(Verdict.IGNORED, {}, HTTP2)
    return Outcome(Verdict.EXACT) if is_off(choice.value) else Outcome(Verdict.REFUSED, {}, HTTP2_CLEARTEXT)


SSL = (
    Setting("keyfile", ("--keyfile",), TEXT, None, refused(TLS)),
    Setting("certfile", ("--certfile",), TEXT, None, refused(TLS)),
    Setting("ssl_version", ("--ssl-version",), Kind(values.anything), None, ignored("Gunicorn ignores it too")),
    Setting(
        "cert_reqs",
        ("--cert-reqs",),
        NUMBER,
        0,
        refused(TLS),
    ),
    Setting("ca_certs", ("--ca-certs",), TEXT, None, refused(TLS)),
    Setting("suppress_ragged_eofs", ("--suppress-ragged-eofs",), BOOLEAN, True, ignored("it is about TLS")),
    Setting("do_handshake_on_connect", ("--do-handshake-on-connect",), BOOLEAN, False, ignored("it is about TLS")),
    Setting("ciphers", ("--ciphers",), TEXT, None, ignored("it is about TLS")),
)

HTTP_2 = (
    Setting(
        "http_protocols",
        ("--http-protocols",),
        Kind(values.protocols),
        "h1",
        ignored(HTTP2, lambda names: "h2" not in names),
    ),
    Setting(
        "http2_cleartext",
        ("--http2-cleartext",),
        Kind(values.switch("off", "prior-knowledge", "upgrade", "both")),
        "off",
        ruled(Verdict.REFUSED, "", HTTP2_CLEARTEXT, _cleartext),
    ),
    Setting(
        "http2_max_concurrent_streams",
        ("--http2-max-concurrent-streams",),
        Kind(values.number_between(1, 2**32 - 1)),
        100,
        ignored(HTTP2),
    ),
    Setting(
        "http2_initial_window_size",
        ("--http2-initial-window-size",),
        Kind(values.number_between(0, 2**31 - 1)),
        65535,
        ignored(HTTP2),
    ),
    Setting(
        "http2_max_frame_size",
        ("--http2-max-frame-size",),
        Kind(values.number_between(16384, 2**24 - 1)),
        16384,
        ignored(HTTP2),
    ),
    Setting("http2_max_header_list_size", ("--http2-max-header-list-size",), NUMBER, 65536, ignored(HTTP2)),
)
