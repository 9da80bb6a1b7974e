"""
An import that waits for itself: the module starts a thread and joins it, and the thread
imports that module.

usage: imports.py CONTROL
"""
import os
import sys

import hang

SOURCE = '''
import threading
import hang

def load():
    import inventory
    return inventory.answer

loader = threading.Thread(target=load, name="loader", daemon=True)
loader.start()
hang.ready()
loader.join()
answer = 42
'''


class Released(Exception):
    pass


def release():
    raise Released


with open(os.path.join(hang.FOLDER, "inventory.py"), "w") as file:
    file.write(SOURCE)
sys.path.insert(0, hang.FOLDER)
hang.on_release(release)
try:
    import inventory  # noqa: F401
except Released:
    hang.finish("inventory" in sys.modules and sys.modules["inventory"].answer, False)
