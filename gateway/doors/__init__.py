"""Where bytes come in: HTTP, MLLP sockets, watched directories."""
