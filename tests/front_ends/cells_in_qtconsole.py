"""Run cells in a qtconsole that has no screen, and print its text: ``cells_in_qtconsole.py CELL...``."""

from __future__ import annotations

import os
import sys

os.environ["QT_QPA_PLATFORM"] = "offscreen"

from qtconsole.manager import QtKernelManager
from qtconsole.rich_jupyter_widget import RichJupyterWidget
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication


def main(cells: list[str]) -> None:
    """Run one cell after the other, the next when the last has ended."""
    app = QApplication([])
    manager = QtKernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    widget = RichJupyterWidget()
    widget.kernel_manager, widget.kernel_client = manager, client
    left = iter(cells)

    def run_next(*_: object) -> None:
        cell = next(left, None)
        if cell is None:
            app.quit()
        else:
            widget.execute(cell)

    widget.executed.connect(run_next)
    widget.set_default_style("nocolor")
    # The first prompt is there when the kernel has said what it is.
    client.shell_channel.message_received.connect(
        lambda message: message["msg_type"] == "kernel_info_reply" and QTimer.singleShot(0, run_next)
    )
    widget.show()
    app.exec()
    print(widget._control.toPlainText())
    manager.shutdown_kernel(now=True)


main(sys.argv[1:])
