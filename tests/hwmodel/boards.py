"""The boards that tests of devices run on."""

from hwmodel.board import BOARDS

WITH_IOMMU = [name for name, board in BOARDS.items() if board.has_iommu]
BOARDS_WITH_RTC = [name for name, board in BOARDS.items() if "rtc0" in {window.name for window in board.devices}]
