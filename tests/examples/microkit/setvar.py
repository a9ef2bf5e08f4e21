"""Prints the addresses that the loader put into its variables."""

mr_with_paddr_vaddr: int = 0
mr_with_paddr_paddr: int = 0
small_mr_no_paddr_paddr: int = 0
large_mr_no_paddr_paddr: int = 0
pl011_paddr: int = 0


async def init(pd):
    await pd.print(f"Virtual address of 'mr_with_paddr': {mr_with_paddr_vaddr}\n")
    await pd.print(f"Physical address of 'mr_with_paddr': {mr_with_paddr_paddr}\n")
    await pd.print(f"Physical address of 'small_mr_no_paddr': {small_mr_no_paddr_paddr}\n")
    await pd.print(f"Physical address of 'large_mr_no_paddr': {large_mr_no_paddr_paddr}\n")
    await pd.print(f"Physical address of 'pl011_paddr': {pl011_paddr}\n")


async def notified(pd, ch):
    pass
