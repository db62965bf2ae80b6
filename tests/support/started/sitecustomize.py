"""Python runs this at the start of each process that tests start, and so it knows the tiny network.

Nothing is imported for it: the network is added when its modules are imported.
"""

import importlib.abc
import importlib.util
import sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("tiny_net", Path(__file__).parents[1] / "tiny_net.py")
tiny_net = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny_net)

ADD = {
    "tfxfer.modalities.pictures.networks.families": tiny_net.add_row,
    "keras.applications": tiny_net.add_builder,
}


class AfterImport(importlib.abc.MetaPathFinder):
    """Finds the modules of `ADD` as others do, and adds to each when it is imported."""

    def find_spec(self, name, path, target=None):
        if name not in ADD:
            return None
        add = ADD.pop(name)
        found = importlib.util.find_spec(name)
        execute = found.loader.exec_module

        def execute_and_add(module):
            execute(module)
            add(module)

        found.loader.exec_module = execute_and_add
        return found


sys.meta_path.insert(0, AfterImport())
