"""From a torch module and texts of ONNX to one checked file."""

import hashlib
import os
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, compose, helper, numpy_helper

OPSET, IR = 18, 9


def parse(text, name):
    """A graph in ONNX's text form, without its header, as a model."""
    model = onnx.parser.parse_model(f'<ir_version: {IR}, opset_import: ["" : {OPSET}]>\n{name} {text}')
    onnx.checker.check_model(model)
    return model


def from_torch(module, example, inputs, outputs, batch=False):
    """Exports at the size of the example; with `batch` the first axis varies."""
    path = os.path.join(tempfile.mkdtemp(), "net.onnx")
    varying = {"dynamic_shapes": {"x": {0: torch.export.Dim("n", min=1, max=4096)}}} if batch else {}
    module = module.eval().to(memory_format=torch.contiguous_format)
    torch.onnx.export(module, (example,), path, input_names=inputs, output_names=outputs, opset_version=OPSET, dynamo=True, external_data=False, verbose=False, **varying)
    model = onnx.load(path)
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    del model.functions[:]
    model.ir_version = IR
    return model


def join(first, second, links, outputs):
    """Sends outputs of the first into inputs of the second; keeps the named outputs."""
    first, second = compose.add_prefix(first, "a_", rename_inputs=False, rename_outputs=False), compose.add_prefix(second, "b_", rename_inputs=False, rename_outputs=False)
    first.ir_version = second.ir_version = IR
    model = compose.merge_models(first, second, io_map=links, outputs=outputs)
    order = {name: i for i, name in enumerate(outputs)}
    kept = sorted(model.graph.output, key=lambda o: order[o.name])
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return model


def halve(model):
    """Keeps large weights as float16, cast to float32 when the graph is loaded: half the file, float32 arithmetic."""
    casts, kept = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 256 and np.abs(values).max() < 6e4:
            kept.append(numpy_helper.from_array(values.astype(np.float16), tensor.name + "_half"))
            casts.append(helper.make_node("Cast", [tensor.name + "_half"], [tensor.name], to=TensorProto.FLOAT))
        else:
            kept.append(tensor)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)
    return model


def session(model):
    """A session on the processor. Takes a model or a path."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    return onnxruntime.InferenceSession(model if isinstance(model, str) else model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def save(model, path):
    """Checks, writes and tells size, hash and operators."""
    model.producer_name, model.producer_version, model.doc_string = "", "", ""
    onnx.checker.check_model(model)
    data = model.SerializeToString(deterministic=True)
    with open(path, "wb") as file:
        file.write(data)
    operators = sorted({node.op_type for node in model.graph.node})
    print(path, len(data), "bytes, sha256", hashlib.sha256(data).hexdigest(), "operators", " ".join(operators), file=sys.stderr)
