"""Asks the kernel what it still holds of a connection (sock_diag(7))."""

from __future__ import annotations

import socket
import struct

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_HEADER = struct.Struct("=IHHII")
# struct inet_diag_req_v2: family, protocol, extensions, padding, states; ports and addresses; interface, cookie.
_REQUEST = struct.Struct("=BBBBI4s4s12x4s12xIII")
_PORTS = struct.Struct("!HH")
_QUEUES = struct.Struct("=II")
# Behind the header: four bytes, the socket's id (48), a time-out (4).
_QUEUES_AT = _HEADER.size + 56
_NO_COOKIE = 0xFFFFFFFF


def unread(client: socket.socket) -> int:
    """Bytes that a local peer of `client` has not read yet, on their way or in its receive queue.

    Raises:
        OSError: The kernel does not tell, or the peer's socket is gone.
    """
    own, peer = client.getsockname(), client.getpeername()
    receiving, _ = _queues(peer, own)
    _, sending = _queues(own, peer)
    return receiving + sending


def _queues(local: tuple[str, int], remote: tuple[str, int]) -> tuple[int, int]:
    """Lengths of the receive and the send queue of one established connection."""
    addresses = [socket.inet_aton(local[0]), socket.inet_aton(remote[0])]
    request = _REQUEST.pack(
        *(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF),
        *(_PORTS.pack(local[1], remote[1]), *addresses),
        *(0, _NO_COOKIE, _NO_COOKIE),
    )
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as diag:
        diag.sendall(header + request)
        answer = diag.recv(4096)
    if _HEADER.unpack_from(answer)[1] == _NLMSG_ERROR:
        (code,) = struct.unpack_from("=i", answer, _HEADER.size)
        raise OSError(-code, "the kernel does not know the connection")
    receiving, sending = _QUEUES.unpack_from(answer, _QUEUES_AT)
    return int(receiving), int(sending)
