"""What joins servers of MINIX's, the Hurd's, L4's and QNX's kind with a broker in one system (docs/composition.md)."""
