"""A port for a server that has to be told its port before it starts."""

import socket


def reserve_port() -> int:
    """A TCP port of the loopback interface that nobody else is given for the next minute.

    A port that was only free a moment ago can be taken by another process before its server
    starts. This one had a connection, which is in TIME_WAIT now: until that is over, the kernel
    gives the port to no socket that asks for any port, and a server with SO_REUSEADDR, as every
    daemon sets it, can listen on it (tcp(7), socket(7)).
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        address: tuple[str, int] = server.getsockname()
        with socket.create_connection(address) as client:
            accepted, _ = server.accept()
            # who closes first is in TIME_WAIT; that has to be the side of the server's port
            accepted.close()
            client.recv(1)
    return address[1]
