"""Whether each `graph_text.py` says, node for node, what the `model.onnx` beside it does before its networks: `python check_texts.py`. So a text can be written otherwise
without training anew.
"""

import importlib.util
import pathlib
import sys

import onnx

import graph

MODELS = pathlib.Path(__file__).parents[1]


def text_of(path):
    spec = importlib.util.spec_from_file_location(path.parents[1].name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PREPROCESS


def nodes_of(nodes):
    """Nodes as bytes, without the prefix that graph.join gives what is neither input nor output of its first part."""
    found = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for names in (copy.input, copy.output):
            names[:] = [name.removeprefix("a_") for name in names]
        copy.name = copy.name.removeprefix("a_")
        found.append(copy.SerializeToString(deterministic=True))
    return found


def main():
    differing = 0
    for path in sorted(MODELS.glob("*/train/graph_text.py")):
        folder = path.parents[1]
        text = graph.parse(text_of(path), "field").graph
        given = {output.name for output in text.output}
        model = onnx.load(folder / "model.onnx").graph
        equal = nodes_of(n for n in model.node if all(o in given or o.startswith("a_") for o in n.output)) == nodes_of(text.node)
        differing += not equal
        print(folder.name, f"{len(text.node)} nodes", "equal" if equal else "DIFFERS")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
