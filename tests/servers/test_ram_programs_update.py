"""Whole programs that have files in memory, on a bench: they go on, or keep their place, as the supervisor asks."""


import pytest

from capkernel.protocols.failures import NotPermitted
from capkernel.protocols.files import READ, READ_WRITE, Directory
from capkernel.system.spawnable import encode_table
from hwmodel.backend import BufferBackend
from hwmodel.board import find_board
from hwmodel.machine import Machine
from servers.storage import ram_server, ram_server_sparse
from servers.system import program_server
from tests.servers.update_bench import STATE_IN_RAM, UpdateBench

PROGRAMS = 0x1_2000_0000
PLACE = {"window": "uart0", "board": "virt_iommu", "state": STATE_IN_RAM, "state_size": 0x8000}


def test_a_file_that_is_open_goes_on_in_the_other_kind_of_server_and_back() -> None:
    bench = UpdateBench(ram_server, **PLACE)
    file = bench.call(bench.client(Directory, 2).create("file"))
    reader = bench.call(bench.client(Directory, 6).open("file", READ))
    for life, module in enumerate((ram_server_sparse, ram_server, ram_server_sparse), 2):
        bench.call(file.write(1000 * life, b"life %d" % life))
        assert bench.gives_way()
        bench = UpdateBench(module, machine=bench.machine, life=life, **PLACE)
        client = bench.client(Directory, 2)
        file = type(file)(client.connection, file.cap, False)
        reader = type(reader)(client.connection, reader.cap, False)
        assert bench.call(reader.read(1000 * life, 9)) == b"life %d" % life
        with pytest.raises(NotPermitted):
            bench.call(reader.write(0, b"x"))
    assert bench.call(file.info()).size == 4006


def test_the_installed_programs_are_there_once_and_a_cap_to_one_goes_on() -> None:
    table = encode_table({"hello": b"how its page begins"})
    machine = Machine(find_board("virt_iommu"), uart_backend=BufferBackend())
    machine.write_bytes(PROGRAMS, table)
    settings = {**PLACE, "programs": PROGRAMS, "programs_size": len(table), "machine": machine}
    bench = UpdateBench(program_server, **settings)
    file = bench.call(bench.client(Directory, 3).open("hello", READ))
    assert bench.gives_way()
    after = UpdateBench(program_server, life=2, **settings)
    client = after.client(Directory, 3)
    assert [entry.name for entry in after.call(client.list(0))] == ["hello"]
    assert after.call(type(file)(client.connection, file.cap, False).read(0, 99)) == b"#!capkernel hello\n"
    with pytest.raises(NotPermitted):
        after.call(client.open("hello", READ_WRITE))


def test_a_server_without_memory_that_outlives_it_keeps_its_place() -> None:
    bench = UpdateBench(ram_server, **{**PLACE, "state": 0})
    file = bench.call(bench.client(Directory, 2).create("file"))
    assert not bench.gives_way()
    bench.heartbeat()
    assert bench.call(file.info()).size == 0
