"""Writes model.onnx: a multi-scale blob response inside the closed lung. Nothing is trained; every number is below.

    pip install -r requirements.txt && python generate.py ../model.onnx

The file is the same byte for byte on every run. Lengths are in millimetres, the grid has 1.5 mm voxels.

1. Tissue: Hounsfield units between air in the lung (-900) and soft tissue (50) are mapped to 0..1; outside the closed lung it is 0.
   A nodule at the wall thus becomes a ball of its own.
2. For each scale s: Gaussian smoothing with that standard deviation, then the Hessian by second differences, times -s^2: its
   eigenvalues are the curvatures k1, k2, k3 along three axes, positive in a bright ball.
3. Response: harmonic mean of the curvatures * sqrt(sphericity), where sphericity = k1 k2 k3 / mean(k)^3, and 0 unless all three are
   positive. A vessel has one curvature near 0, a wall two: both get a low response. All of it follows from the trace, the sum of
   the principal minors and the determinant, so no eigenvalue is computed. It is divided by what a solid ball of soft tissue gives.
4. The small scales work on the 1.5 mm grid, the large ones on a 3 mm grid. The best scale is kept in each voxel, local maxima are kept in
   space, and the highest of each grid come out.
"""

import math
import sys

from onnx import TensorProto, checker, helper, save

VOXEL = 1.5
AIR, SOFT = -900.0, 50.0
FINE_SCALES = [1.5, 2.1, 3.0]
COARSE_SCALES = [4.2, 6.0, 8.0]
PEAKS = 128
# Share of an ideal ball's curvature that is lost where the scale is one voxel, measured on sampled balls; it falls with the square.
GRID_LOSS = 0.28
# Response of an ideal ball at its best scale, s = r / sqrt(3): curvature 0.925 / 3.
IDEAL = 4 * math.pi * 3 * math.sqrt(3) / (2 * math.pi) ** 1.5 * math.exp(-1.5) / 3

nodes, initializers = [], []


def constant(name, dims, values, kind=TensorProto.FLOAT):
    values = [round(v, 9) for v in values] if kind == TensorProto.FLOAT else values
    initializers.append(helper.make_tensor(name, kind, dims, values))
    return name


def scalar(value):
    name = f"const_{value!r}"
    if not any(tensor.name == name for tensor in initializers):
        kind = TensorProto.INT64 if isinstance(value, int) else TensorProto.FLOAT
        initializers.append(helper.make_tensor(name, kind, [], [value]))
    return name


def op(kind, inputs, name, **attributes):
    inputs = [i if isinstance(i, str) else scalar(i) for i in inputs]
    nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
    return name


def gaussian(source, scale, voxel, prefix):
    """Separable smoothing, cut off at three standard deviations."""
    sigma = scale / voxel
    radius = math.ceil(3 * sigma)
    weights = [math.exp(-((i / sigma) ** 2) / 2) for i in range(-radius, radius + 1)]
    weights = [w / sum(weights) for w in weights]
    for axis in range(3):
        dims, pads = [1, 1, 1, 1, 1], [0] * 6
        dims[2 + axis] = len(weights)
        pads[axis] = pads[3 + axis] = radius
        kernel = constant(f"{prefix}_gauss{axis}", dims, weights)
        source = op("Conv", [source, kernel], f"{prefix}_smooth{axis}", pads=pads)
    return source


def hessian(source, scale, voxel, prefix):
    """zz, yy, xx, zy, zx, yx: second differences times -scale^2, and times what the grid takes off the curvature of a ball."""
    sigma = scale / voxel
    factor = -(sigma**2) / (1 - GRID_LOSS / sigma**2)
    kernels = []
    for a, b in [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]:
        kernel = [0.0] * 27

        def put(offset, weight):
            kernel[(1 + offset[0]) * 9 + (1 + offset[1]) * 3 + 1 + offset[2]] += weight * factor

        for i in (-1, 1):
            if a == b:
                put([i if axis == a else 0 for axis in range(3)], 1)
                continue
            for j in (-1, 1):
                put([i if axis == a else j if axis == b else 0 for axis in range(3)], i * j / 4)
        if a == b:
            put([0, 0, 0], -2)
        kernels += kernel
    weights = constant(f"{prefix}_second", [6, 1, 3, 3, 3], kernels)
    joined = op("Conv", [source, weights], f"{prefix}_hessian", pads=[1] * 6)
    names = [f"{prefix}_{pair}" for pair in ("zz", "yy", "xx", "zy", "zx", "yx")]
    nodes.append(helper.make_node("Split", [joined], names, name=f"{prefix}_split", axis=1, num_outputs=6))
    return names


def response(source, scale, voxel, prefix):
    zz, yy, xx, zy, zx, yx = hessian(gaussian(source, scale, voxel, prefix), scale, voxel, prefix)

    def minor(a, b, c, name):
        """a * b - c^2"""
        return op("Sub", [op("Mul", [a, b], f"{prefix}_{name}_d"), op("Mul", [c, c], f"{prefix}_{name}_o")], f"{prefix}_{name}")

    trace = op("Add", [op("Add", [zz, yy], f"{prefix}_zzyy"), xx], f"{prefix}_trace")
    m_yx, m_zx, m_zy = minor(yy, xx, yx, "m_yx"), minor(zz, xx, zx, "m_zx"), minor(zz, yy, zy, "m_zy")
    minors = op("Add", [op("Add", [m_yx, m_zx], f"{prefix}_m2"), m_zy], f"{prefix}_minors")
    # Determinant by the first row: zz (yy xx - yx^2) - zy (zy xx - yx zx) + zx (zy yx - yy zx)
    first = op("Mul", [zz, m_yx], f"{prefix}_det1")
    second = op("Sub", [op("Mul", [zy, xx], f"{prefix}_zyxx"), op("Mul", [yx, zx], f"{prefix}_yxzx")], f"{prefix}_cof2")
    third = op("Sub", [op("Mul", [zy, yx], f"{prefix}_zyyx"), op("Mul", [yy, zx], f"{prefix}_yyzx")], f"{prefix}_cof3")
    second, third = op("Mul", [zy, second], f"{prefix}_det2"), op("Mul", [zx, third], f"{prefix}_det3")
    determinant = op("Relu", [op("Add", [op("Sub", [first, second], f"{prefix}_det12"), third], f"{prefix}_det")], f"{prefix}_det_pos")
    minors = op("Add", [op("Relu", [minors], f"{prefix}_minors_pos"), 1e-9], f"{prefix}_minors_eps")
    harmonic = op("Div", [determinant, minors], f"{prefix}_harmonic_third")
    mean = op("Max", [trace, 1e-3], f"{prefix}_trace_eps")
    cube = op("Mul", [op("Mul", [mean, mean], f"{prefix}_trace2"), mean], f"{prefix}_trace3")
    sphericity = op("Sqrt", [op("Div", [determinant, cube], f"{prefix}_sphericity_27th")], f"{prefix}_sphericity_root")
    ball = op("Mul", [harmonic, sphericity], f"{prefix}_ball")
    # Three curvatures are positive just when trace, minors and determinant are.
    positive = op("Min", [op("Relu", [op("Sign", [trace], f"{prefix}_s1")], f"{prefix}_g1"), op("Sign", [f"{prefix}_minors_pos"], f"{prefix}_g2")], f"{prefix}_positive")
    return op("Mul", [ball, positive], f"{prefix}_response")


def peaks(source, lung, scales, voxel, prefix):
    """The highest local maxima of the best response over the scales: score, place on the 1.5 mm grid, scale in mm."""
    every = [response(source, scale, voxel, f"{prefix}{i}") for i, scale in enumerate(scales)]
    joined = op("Concat", every, f"{prefix}_scales", axis=1)
    best = op("ReduceMax", [joined, constant(f"{prefix}_axes", [1], [1], TensorProto.INT64)], f"{prefix}_best", keepdims=1)
    inside = op("Mul", [op("Mul", [best, math.sqrt(27) * 3 / IDEAL], f"{prefix}_normal"), lung], f"{prefix}_inside")
    highest = op("MaxPool", [inside], f"{prefix}_highest", kernel_shape=[3, 3, 3], pads=[1] * 6)
    at_peak = op("Cast", [op("Equal", [inside, highest], f"{prefix}_equal")], f"{prefix}_at_peak", to=TensorProto.FLOAT)
    flat = op("Reshape", [op("Mul", [inside, at_peak], f"{prefix}_peaks"), constant(f"{prefix}_flat", [1], [-1], TensorProto.INT64)], f"{prefix}_list")
    score, index = f"{prefix}_score", f"{prefix}_index"
    count = constant(f"{prefix}_count", [1], [PEAKS], TensorProto.INT64)
    nodes.append(helper.make_node("TopK", [flat, count], [score, index], name=f"{prefix}_topk", axis=0))
    at_scale = op("Reshape", [op("ArgMax", [joined], f"{prefix}_argmax", axis=1, keepdims=1), f"{prefix}_flat"], f"{prefix}_scale_list")
    table = constant(f"{prefix}_scale_table", [len(scales)], scales)
    scale = op("Gather", [table, op("Gather", [at_scale, index], f"{prefix}_scale_index")], f"{prefix}_scale")
    return score, place(inside, index, voxel, prefix), scale


def place(volume, index, voxel, prefix):
    """z, y, x of flat indices, in voxels of the 1.5 mm grid."""
    shape = op("Shape", [volume], f"{prefix}_shape")
    rows, columns = (op("Gather", [shape, axis], f"{prefix}_size{axis}") for axis in (3, 4))
    x = op("Mod", [index, columns], f"{prefix}_x")
    lines = op("Div", [index, columns], f"{prefix}_lines")
    y, z = op("Mod", [lines, rows], f"{prefix}_y"), op("Div", [lines, rows], f"{prefix}_z")
    axis = constant(f"{prefix}_last", [1], [1], TensorProto.INT64)
    parts = [op("Unsqueeze", [part, axis], f"{part}_column") for part in (z, y, x)]
    joined = op("Cast", [op("Concat", parts, f"{prefix}_zyx", axis=1)], f"{prefix}_zyx_float", to=TensorProto.FLOAT)
    factor = voxel / VOXEL
    return op("Add", [op("Mul", [joined, factor], f"{prefix}_zyx_scaled"), (factor - 1) / 2], f"{prefix}_place")


def build():
    shape = [1, 1, "planes", "rows", "columns"]
    hounsfield = helper.make_tensor_value_info("hounsfield", TensorProto.FLOAT, shape)
    lung = helper.make_tensor_value_info("lung", TensorProto.FLOAT, shape)
    share = op("Div", [op("Sub", ["hounsfield", AIR], "above_air"), SOFT - AIR], "share")
    tissue = op("Mul", [op("Clip", [share, 0.0, 1.0], "clipped"), "lung"], "tissue")
    halved = dict(kernel_shape=[2, 2, 2], strides=[2, 2, 2])
    coarse = op("AveragePool", [tissue], "coarse_tissue", **halved)
    coarse_lung = op("MaxPool", ["lung"], "coarse_lung", **halved)
    lists = [
        peaks(tissue, "lung", FINE_SCALES, VOXEL, "fine"),
        peaks(coarse, coarse_lung, COARSE_SCALES, 2 * VOXEL, "coarse"),
    ]
    for output, parts in zip(("score", "place", "scale"), zip(*lists)):
        op("Concat", list(parts), output, axis=0)
    outputs = [
        helper.make_tensor_value_info("score", TensorProto.FLOAT, [2 * PEAKS]),
        helper.make_tensor_value_info("place", TensorProto.FLOAT, [2 * PEAKS, 3]),
        helper.make_tensor_value_info("scale", TensorProto.FLOAT, [2 * PEAKS]),
    ]
    graph = helper.make_graph(nodes, "pulmonary-nodule", [hounsfield, lung], outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], producer_name="generate.py", ir_version=9)
    checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    save(build(), sys.argv[1])
