"""The fault campaign: a system in which something goes wrong all the time, and a client that must not notice."""
