"""A board as a flattened device tree, the form in which firmware tells a kernel, and it its root task, what there is.

After the Devicetree Specification v0.4: chapter 5 for the format, chapter 3 and the bindings of the devices' kinds for
the nodes. The properties are those that a driver needs: registers, interrupt, clock.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hwmodel.board import Board, DeviceWindow, Region

Value = bytes | str | Sequence[str] | int | Sequence[int] | None
"""A property: bytes as they are, strings, 32-bit cells, or None if it only is there."""

_MAGIC, _VERSION, _COMPATIBLE = 0xD00DFEED, 17, 16
_BEGIN, _END, _PROPERTY, _FINISH = 1, 2, 3, 9
_HEADER = struct.Struct(">10I")
_EMPTY_RESERVATIONS = bytes(16)

_CPU_CONTROLLER, _CONTROLLER = 1, 2
"""Phandles."""
_SUPERVISOR_EXTERNAL = 9
_ACTIVE_HIGH = 4
"""The second cell of an interrupt: a level."""
COMPATIBLE: Final = {
    "ns16550": "ns16550a", "virtio-mmio": "virtio,mmio", "timer": "capkernel,timer",
    "goldfish-rtc": "google,goldfish-rtc", "sifive-uart": "sifive,uart0", "countdown": "snps,dw-apb-timer",
}  # fmt: skip
"""By a window's kind; other kinds are called ``capkernel,KIND``."""
_NAMES: Final = {"ns16550": "serial", "virtio-mmio": "virtio_mmio", "goldfish-rtc": "rtc", "sifive-uart": "serial"}
_UART_CLOCK = 3_686_400


@dataclass
class Node:
    """One node: its properties and children by name, in order."""

    properties: dict[str, Value] = field(default_factory=dict)
    children: dict[str, "Node"] = field(default_factory=dict)


def device_tree(board: Board) -> bytes:
    """The board as the bytes of a ``.dtb`` file."""
    return flatten(describe(board))


def describe(board: Board) -> Node:
    """The board as a tree of nodes."""
    root = Node({"#address-cells": 2, "#size-cells": 2, "compatible": "riscv-virtio", "model": board.name})
    serial = next((_node_name(w) for w in board.devices if w.name == "uart0"), None)
    root.children["chosen"] = Node({"stdout-path": f"/soc/{serial}"} if serial else {})
    root.children[f"memory@{board.ram.base:x}"] = Node({"device_type": "memory", "reg": _reg(board.ram)})
    root.children["cpus"] = _cpus(board)
    soc = root.children["soc"] = Node(
        {"#address-cells": 2, "#size-cells": 2, "compatible": "simple-bus", "ranges": None}
    )
    for window in board.devices:
        soc.children[_node_name(window)] = _device(window, board.interrupt_controller)
    controller = board.kernel_ranges.get(board.interrupt_controller)
    if controller is not None:
        describe_it = _plic if board.interrupt_controller == "plic" else _aplic
        soc.children[f"{board.interrupt_controller}@{controller.base:x}"] = describe_it(controller, board.irq_sources)
    return root


def _cpus(board: Board) -> Node:
    controller: dict[str, Value] = {
        "#interrupt-cells": 1, "interrupt-controller": None, "compatible": "riscv,cpu-intc", "phandle": _CPU_CONTROLLER,
    }  # fmt: skip
    cpu: dict[str, Value] = {
        "device_type": "cpu", "reg": 0, "status": "okay", "compatible": "riscv", "riscv,isa": "rv64imafdc",
        "mmu-type": "riscv,sv39",
    }  # fmt: skip
    return Node(
        {"#address-cells": 1, "#size-cells": 0, "timebase-frequency": board.timer_frequency},
        {"cpu@0": Node(cpu, {"interrupt-controller": Node(controller)})},
    )


def _plic(region: Region, sources: int) -> Node:
    return Node(
        {
            "compatible": ["sifive,plic-1.0.0", "riscv,plic0"], "reg": _reg(region), "#interrupt-cells": 1,
            "#address-cells": 0, "interrupt-controller": None, "riscv,ndev": sources, "phandle": _CONTROLLER,
            "interrupts-extended": [_CPU_CONTROLLER, _SUPERVISOR_EXTERNAL],
        }
    )  # fmt: skip


def _aplic(region: Region, sources: int) -> Node:
    return Node(
        {
            "compatible": "riscv,aplic", "reg": _reg(region), "#interrupt-cells": 2, "#address-cells": 0,
            "interrupt-controller": None, "riscv,num-sources": sources, "phandle": _CONTROLLER,
            "interrupts-extended": [_CPU_CONTROLLER, _SUPERVISOR_EXTERNAL],
        }
    )  # fmt: skip


def _node_name(window: DeviceWindow) -> str:
    return f"{_NAMES.get(window.kind, window.kind)}@{window.region.base:x}"


def _device(window: DeviceWindow, controller: str) -> Node:
    compatible = COMPATIBLE.get(window.kind, f"capkernel,{window.kind}")
    properties: dict[str, Value] = {"compatible": compatible, "reg": _reg(window.region)}
    if window.irq:
        interrupt: Value = window.irq if controller == "plic" else [window.irq, _ACTIVE_HIGH]
        properties |= {"interrupt-parent": _CONTROLLER, "interrupts": interrupt}
    if window.kind == "ns16550":
        properties["clock-frequency"] = _UART_CLOCK
    return Node(properties)


def _reg(region: Region) -> list[int]:
    return [word for value in (region.base, region.size) for word in (value >> 32, value & 0xFFFFFFFF)]


# The format


def flatten(root: Node) -> bytes:
    """A tree as the bytes of a ``.dtb`` file."""
    strings: dict[str, int] = {}
    structure = _flat_node("", root, strings) + struct.pack(">I", _FINISH)
    names = b"".join(name.encode() + b"\0" for name in strings)
    at_reservations = _HEADER.size
    at_structure = at_reservations + len(_EMPTY_RESERVATIONS)
    at_names = at_structure + len(structure)
    header = _HEADER.pack(
        _MAGIC, at_names + len(names), at_structure, at_names, at_reservations, _VERSION, _COMPATIBLE, 0, len(names),
        len(structure),
    )  # fmt: skip
    return header + _EMPTY_RESERVATIONS + structure + names


def _flat_node(name: str, node: Node, strings: dict[str, int]) -> bytes:
    parts = [struct.pack(">I", _BEGIN), _padded(name.encode() + b"\0")]
    parts += [_flat_property(key, value, strings) for key, value in node.properties.items()]
    parts += [_flat_node(key, child, strings) for key, child in node.children.items()]
    return b"".join([*parts, struct.pack(">I", _END)])


def _flat_property(name: str, value: Value, strings: dict[str, int]) -> bytes:
    data = _encode(value)
    if name not in strings:
        strings[name] = sum(len(known.encode()) + 1 for known in strings)
    return struct.pack(">III", _PROPERTY, len(data), strings[name]) + _padded(data)


def _encode(value: Value) -> bytes:
    match value:
        case None:
            return b""
        case bytes():
            return value
        case str():
            return value.encode() + b"\0"
        case int():
            return struct.pack(">I", value)
    return b"".join(_encode(item) for item in value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)

