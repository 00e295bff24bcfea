"""Reserve a port for a server that needs a fixed port."""

import socket


def reserve_port() -> int:
    """Return a TCP port of the loopback interface that nobody else gets in the next minute.

    A port that is merely free can be taken by another process before its server starts. This one
    had a connection, which is now in TIME_WAIT: until that ends, the kernel does not assign the
    port to a socket that requests any port, and a server with SO_REUSEADDR, which every daemon
    sets, can listen on it (tcp(7), socket(7)).
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        address: tuple[str, int] = server.getsockname()
        with socket.create_connection(address) as client:
            accepted, _ = server.accept()
            # the side that closes first is in TIME_WAIT, which must be that of the server's port
            accepted.close()
            client.recv(1)
    return address[1]
