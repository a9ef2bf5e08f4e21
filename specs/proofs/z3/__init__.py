"""The inductive step by z3: whatever state satisfies the invariant, any operation leads to one that does."""
