"""HTTP/1.1 for the ports: connections within bounds, requests read and answered."""
