"""Servers that leave out one of the checks which keep attackers out: with each of them an attacker gets in."""
