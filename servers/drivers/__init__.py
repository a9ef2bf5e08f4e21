"""Device drivers. Each holds its device's registers, its interrupt and its memory for DMA, and nothing else."""
