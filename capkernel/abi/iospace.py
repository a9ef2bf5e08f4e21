"""The one extension: IOSpaces and I/O page tables, for machines that have an IOMMU.

Names and argument checks follow seL4's x86 interface. Every number lies outside what the RISC-V platform
answers, and on a machine without an IOMMU none of them is answered: there such a machine behaves as the real
kernel to the last error code.

| label | name              | on            | MRs          | caps       |
|------:|-------------------|---------------|--------------|------------|
|  4096 | IOPageTable_Map   | I/O page table| ioaddr       | IOSpace    |
|  4097 | IOPageTable_Unmap | I/O page table|              |            |
|  4098 | Page_MapIO        | frame         | rights, ioaddr | IOSpace  |

The master IOSpace cap stands in slot 8 of the initial CSpace, where seL4 puts it. Mint of the
master with badge ``domain_id << 16 | pci_request_id`` makes the cap of one device.
"""

from typing import Final

IO_PAGE_TABLE_MAP: Final = 4096
IO_PAGE_TABLE_UNMAP: Final = 4097
PAGE_MAP_IO: Final = 4098

OBJECT_IO_PAGE_TABLE: Final = 4096
"""Retype's type number for an I/O page table (2**12 bytes)."""
IO_PAGE_TABLE_BITS: Final = 12

CAP_IO_SPACE: Final = 101
CAP_IO_PAGE_TABLE: Final = 103

IO_LEVELS: Final = 3
"""Levels of an I/O page table tree below the context: 39 bits of I/O address, 4 KiB pages."""
IO_PT_INDEX_BITS: Final = 9
IO_ADDRESS_BITS: Final = 39
IO_READ: Final = 1
IO_WRITE: Final = 2
FIRST_DOMAIN: Final = 1
LAST_DOMAIN: Final = 0xFFFF
