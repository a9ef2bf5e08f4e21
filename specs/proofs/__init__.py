"""Machine-checked proofs about the capability model, and what ties them to the specification that runs."""
