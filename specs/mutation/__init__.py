"""Mutation: small changes of the kernel's functions, and whether anything that judges the kernel notices each."""
