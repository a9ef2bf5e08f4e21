"""Typed interfaces between programs: one definition is client stub, server skeleton, codec, strategy and reference."""
