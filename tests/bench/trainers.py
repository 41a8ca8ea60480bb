# SPDX-License-Identifier: MIT
"""dictionary_learning's TopKTrainer without the rest of the package, which pulls in language-model
libraries."""
import functools
import importlib.util
import sys
import types


@functools.cache
def load_top_k():
    spec = importlib.util.find_spec("dictionary_learning")
    if spec is None:
        raise ImportError("dictionary_learning is not installed")
    root = list(spec.submodule_search_locations)[0]

    def load(name, path):
        s = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(s)
        sys.modules[name] = module
        s.loader.exec_module(module)
        return module

    for name, path in (("dictionary_learning", root), ("dictionary_learning.trainers",
                                                       root + "/trainers")):
        package = types.ModuleType(name)
        package.__path__ = [path]
        sys.modules[name] = package
    load("dictionary_learning.config", root + "/config.py")
    load("dictionary_learning.dictionary", root + "/dictionary.py")
    load("dictionary_learning.trainers.trainer", root + "/trainers/trainer.py")
    return load("dictionary_learning.trainers.top_k", root + "/trainers/top_k.py").TopKTrainer
