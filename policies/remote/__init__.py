"""Gateways: caps that lead from one machine to another, by tokens over a link that nobody trusts (docs/remote.md)."""
