"""The bug catalogue: defects as named edits of the kernel's source, and the hunt for them."""
