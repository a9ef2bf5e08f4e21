"""``capkernel link``: machines in processes of their own, joined by TLS."""
