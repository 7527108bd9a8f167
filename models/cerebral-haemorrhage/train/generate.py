"""Writes model.onnx: fresh blood inside the skull by its density. Nothing is trained; every number is below.

    pip install -r requirements.txt && python generate.py ../model.onnx

The file is the same byte for byte on every run. The input is a head CT on pixels of about 1 mm, and a mask of the cranial cavity. All
smoothing is within a slice, since slices are thick, and within the cavity, so that bone does not lighten the brain beside it.

1. Smoothed density: Gaussian, standard deviation 1.2 pixels. A lighter one (0.7) keeps edges, for the measurement of volume.
2. Calcium: what is denser than 105 HU after the lighter smoothing, and the two pixels around it.
3. Rim: the two pixels beside what is outside the cavity, and what has the outside right above or below it: there bone shines in.
4. Surroundings: mean density of ordinary brain (15 to 48 HU, no calcium) nearby, Gaussian of 8 pixels; 33 HU where there is none.
5. Seed: smoothed density from 50 to 92 HU, at least 15 HU above the surroundings, neither rim nor calcium, and at least three pixels
   wide each way (an opening): falx, tentorium and small vessels are thinner.
"""

import math
import sys

from onnx import TensorProto, checker, helper, save

LOW, HIGH, CONTRAST = 50.0, 92.0, 15.0
CALCIUM = 105.0
TISSUE = (15.0, 48.0)
NO_TISSUE = 33.0
RIM = 2
# What is thinner than fat or denser than calcium counts as much as these: neither is of interest, and noise must not spread from it.
CLIP = (-20.0, 200.0)

nodes, initializers = [], []


def constant(name, dims, values):
    initializers.append(helper.make_tensor(name, TensorProto.FLOAT, dims, [round(v, 9) for v in values]))
    return name


def scalar(value):
    name = f"const_{value!r}"
    if not any(tensor.name == name for tensor in initializers):
        initializers.append(helper.make_tensor(name, TensorProto.FLOAT, [], [value]))
    return name


def op(kind, inputs, name, **attributes):
    inputs = [i if isinstance(i, str) else scalar(float(i)) for i in inputs]
    nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
    return name


def gaussian(source, sigma, radius, prefix):
    """Separable smoothing within the planes."""
    weights = [math.exp(-((i / sigma) ** 2) / 2) for i in range(-radius, radius + 1)]
    weights = [w / sum(weights) for w in weights]
    for axis in (1, 2):
        dims, pads = [1, 1, 1, 1, 1], [0] * 6
        dims[2 + axis] = len(weights)
        pads[axis] = pads[3 + axis] = radius
        kernel = constant(f"{prefix}_kernel{axis}", dims, weights)
        source = op("Conv", [source, kernel], f"{prefix}_along{axis}", pads=pads)
    return source


def mean_within(values, weights, sigma, radius, prefix, otherwise):
    """Smoothed values where the weights are, as if nothing else were there; `otherwise` where no weight is near."""
    total = gaussian(op("Mul", [values, weights], f"{prefix}_weighted"), sigma, radius, f"{prefix}_total")
    weight = gaussian(weights, sigma, radius, f"{prefix}_weight")
    few = 1e-3
    total = op("Add", [total, few * otherwise], f"{prefix}_total_eps")
    return op("Div", [total, op("Add", [weight, few], f"{prefix}_weight_eps")], prefix)


def is_true(condition, name):
    return op("Cast", [condition], name, to=TensorProto.FLOAT)


def above(values, threshold, name):
    return is_true(op("Greater", [values, threshold], f"{name}_where"), name)


def without(values, name):
    return op("Sub", [1.0, values], name)


def widest(values, planes, pixels, name):
    """The highest value within so many planes and pixels."""
    size = [2 * planes + 1, 2 * pixels + 1, 2 * pixels + 1]
    return op("MaxPool", [values], name, kernel_shape=size, pads=[planes, pixels, pixels] * 2)


def product(factors, name):
    result = factors[0]
    for i, factor in enumerate(factors[1:]):
        result = op("Mul", [result, factor], name if i == len(factors) - 2 else f"{name}_{i}")
    return result


def build():
    shape = [1, 1, "planes", "rows", "columns"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("hounsfield", "cavity")]
    density = op("Clip", ["hounsfield", *CLIP], "clipped")
    light = mean_within(density, "cavity", 0.7, 2, "light", 0.0)
    smooth = mean_within(density, "cavity", 1.2, 3, "smoothed", 0.0)

    dense = op("Mul", [above(light, CALCIUM, "dense"), "cavity"], "calcium")
    no_calcium = without(widest(dense, 0, 2, "near_calcium"), "no_calcium")
    outside = without("cavity", "outside")
    rim = op("Max", [widest(outside, 0, RIM, "beside"), widest(outside, 1, 0, "over_or_under")], "rim")

    least, most = TISSUE
    ordinary = product([above(smooth, least, "not_fluid"), without(above(smooth, most, "bright"), "not_bright"), no_calcium, "cavity"], "ordinary")
    surroundings = mean_within(smooth, ordinary, 8.0, 20, "surroundings", NO_TISSUE)
    contrast = op("Sub", [smooth, surroundings], "contrast")

    blood = product(
        [
            above(smooth, LOW, "dense_enough"),
            without(above(smooth, HIGH, "too_dense"), "not_too_dense"),
            above(contrast, CONTRAST, "stands_out"),
            no_calcium,
            without(rim, "no_rim"),
            "cavity",
        ],
        "blood",
    )
    # Erosion is the widening of what is not blood.
    core = without(widest(without(blood, "no_blood"), 0, 1, "blood_eroded_away"), "core")
    op("Mul", [widest(core, 0, 1, "opened"), blood], "seed")

    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("light", "surroundings", "calcium", "seed")]
    graph = helper.make_graph(nodes, "cerebral-haemorrhage", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], producer_name="generate.py", ir_version=9)
    checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    save(build(), sys.argv[1])
