"""The shell: a prompt on the console. It can do what its caps allow, and hands out parts of that."""
