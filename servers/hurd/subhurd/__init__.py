"""A whole system of this kind as processes of one user's: an auth server, a file server, a translator, a user."""
