"""Checks the contents of a region that was filled from a file."""

import struct

filled_mr: int = 0
filled_mr_data_size: int = 0

DATA = struct.Struct("<II1024xI3072xI")
EXPECTED = (0x53145314, 0x01234567, 0x89ABCDEF, 0x75757575)


async def init(pd):
    await pd.print(f"hello, world. my name is {pd.name}\n")
    right = filled_mr_data_size == DATA.size and DATA.unpack(await pd.read(filled_mr, DATA.size)) == EXPECTED
    await pd.print("prefilled data OK!\n" if right else "oh no, the data are wrong\n")


async def notified(pd, ch):
    pass
