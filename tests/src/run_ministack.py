"""Runs MiniStack for as long as standard input stays open.

Whoever starts it holds the other end. However that process ends, the pipe closes with it, and then MiniStack and the
function processes that it started (one process group) end too, and their temporary files go.
"""

import os
import shutil
import signal
import sys
import threading

from ministack.app import main


def end_with_the_starter():
    sys.stdin.buffer.read()
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


threading.Thread(target=end_with_the_starter, daemon=True).start()
sys.argv = ["ministack"]
main()
