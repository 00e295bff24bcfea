"""HTTP/1.1 for the ports: a bounded number of connections, requests and responses."""
