"""Runs a program of the facade over Tryton for as long as standard input stays open: run_tryton.py MODULE ARGUMENT…

Whoever starts it holds the other end. However that process ends, the pipe closes with it. `people` reads standard
input, and ends with it by itself.
"""

import importlib
import os
import sys
import threading


def end_with_the_starter():
    sys.stdin.buffer.read()
    os._exit(0)


_, module, *arguments = sys.argv
if module != "people":
    threading.Thread(target=end_with_the_starter, daemon=True).start()
sys.argv = [module, *arguments]
importlib.import_module(module).main()
