"""Trains and exports the false-positive network: `python train.py [--out ..]`, data in $LABELLED_DATA_DIR/ct-lung-nodule-luna16-50px.

Five networks that begin as EfficientNet-Lite0 with ImageNet weights, each without another fifth of `train`. The exported graph averages them over the four ways
to turn a patch. All of `train`, each patch seen by the one network that doesn't know it, gives temperature and threshold. The figures are of the exported file, on `val`.
"""

import argparse
import csv
import json
import os
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from sklearn.model_selection import StratifiedKFold
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "train"))
import augment
import figures
import graph
from fit import fit_late, predict
from lite0 import Trunk

SEED, FOLDS, SIZE, AIR, SPAN = 5, 5, 50, -1000.0, 1400.0
SIDE, VERSIONS = 96, 8


class Net(nn.Module):
    """Eleven blocks of EfficientNet-Lite0 on the enlarged patch; the candidate lies in the middle, so the middle is read apart from the whole."""

    def __init__(self):
        super().__init__()
        self.trunk = Trunk(blocks=11, frozen=3)
        self.head = nn.Sequential(nn.Dropout(0.4), nn.Linear(2 * self.trunk.channels, 1))

    def forward(self, x):
        return self.read(self.trunk(enlarge(x)))

    def read(self, y):
        return self.head(torch.cat([y.mean((2, 3)), y[:, :, 2:4, 2:4].mean((2, 3))], 1))[:, 0].float()


def enlarge(grey):
    """Patches in 0..1 at the size and the range that the trunk takes."""
    return nn.functional.interpolate(grey, size=(SIDE, SIDE), mode="bilinear", align_corners=False) * 2 - 1


class Together(nn.Module):
    """Patches in Hounsfield units (n, 1, 50, 50) to probabilities (n)."""

    def __init__(self, networks, temperature):
        super().__init__()
        self.networks, self.temperature = nn.ModuleList(networks), temperature

    def forward(self, x):
        logits = []
        for view in views(((x - AIR) / SPAN).clamp(0, 1)):
            early = self.networks[0].trunk.early(enlarge(view))
            logits += [net.read(net.trunk.late(early)) for net in self.networks]
        return torch.sigmoid(torch.stack(logits).mean(0) / self.temperature)


def views(x):
    """The four ways to turn."""
    crossed = x.transpose(2, 3)
    return [x, crossed.flip(2), x.flip(2).flip(3), crossed.flip(3)]


def read(root, part):
    """Hounsfield units as the pictures tell them (N, 1, 50, 50): 0 is -1000, 255 is 400. A patch cut by the edge of its slice goes on as it ends."""
    patches, rows = [], list(csv.DictReader(open(root / f"{part}.csv")))
    for row in rows:
        grey = np.asarray(Image.open(root / part / row["file"]).convert("L")).astype(np.float32)
        grey = np.pad(grey, ((0, SIZE - grey.shape[0]), (0, SIZE - grey.shape[1])), mode="edge")
        patches.append(grey[None] / 255 * SPAN + AIR)
    return torch.tensor(np.stack(patches)), np.array([int(row["nodule"]) for row in rows])


def change(grey):
    def changed(indices, generator):
        x = augment.warp(grey[indices], generator, turn=20, scale=(0.85, 1.15), stretch=0.08, shift=0.06, flip_y=True, quarter=True)
        x = augment.sharpness(x, generator, most=1.0)
        x = augment.levels(x, generator, gain=0.08, offset=0.04, gamma=0.12)
        return augment.noise(x, generator, most=0.05).clamp(0, 1)

    return changed


def train(kept, labels, inside, epochs, seed, log):
    target = torch.tensor(labels).float() * 0.96 + 0.02
    torch.manual_seed(seed)
    loss = nn.functional.binary_cross_entropy_with_logits
    return fit_late(Net(), kept, inside, lambda version, rows: target[rows], loss, epochs=epochs, rate=2e-3, trunk_rate=1e-3, batch=64, seed=seed, log=log)


def operating_point(truth, probability):
    """The threshold with the largest margin over both goals, precision 0.90 and recall 0.85."""
    margins = []
    for threshold in np.arange(0.02, 0.99, 0.01):
        called = (probability >= threshold).astype(int)
        margins.append((min(figures.precision(truth, called) - 0.90, figures.sensitivity(truth, called) - 0.85), threshold))
    return round(float(max(margins)[1]), 2)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data", default=os.environ.get("LABELLED_DATA_DIR", "labelled"))
    arguments.add_argument("--out", default=str(pathlib.Path(__file__).parents[1]))
    arguments.add_argument("--epochs", type=int, default=8)
    options = arguments.parse_args()
    root, out = pathlib.Path(options.data) / "ct-lung-nodule-luna16-50px", pathlib.Path(options.out)
    patches, labels = read(root, "train")

    grey = ((patches - AIR) / SPAN).clamp(0, 1)
    changed = change(grey)
    kept = Net().trunk.keep(grey, lambda indices, generator: enlarge(changed(indices, generator)), VERSIONS, seed=SEED)
    networks, held = [], np.zeros(len(labels))
    for k, (inside, apart) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(labels, labels)):
        networks.append(train(kept, labels, inside, options.epochs, SEED + k, f"fold {k}"))
        held[apart] = logits_of(networks[-1], patches[apart])
        print("auc of the fold", figures.auc(labels[apart], held[apart]), flush=True)
    report = export(networks, labels, held, root, out)
    (out / "train" / "figures.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


def logits_of(network, patches):
    return np.mean([predict(network, view, 256).numpy() for view in views(((patches - AIR) / SPAN).clamp(0, 1))], 0)


def export(networks, labels, held, root, out):
    """Writes the graph, and gives the figures of the file."""
    temperature = figures.temperature(labels, held)
    known = figures.sigmoid(held / temperature)
    threshold = operating_point(labels, known)
    model = graph.from_torch(Together(networks, temperature), torch.zeros(2, 1, SIZE, SIZE), ["hounsfield"], ["probability"], batch=True)
    for axis in (model.graph.input[0], model.graph.output[0]):
        axis.type.tensor_type.shape.dim[0].dim_param = "patches"
    graph.save(graph.halve(model), str(out / "model.onnx"))
    seen, truth = read(root, "val")
    session = graph.session(str(out / "model.onnx"))

    def probability_of(patches):
        return np.concatenate([session.run(None, {"hounsfield": part.numpy()})[0] for part in patches.split(128)]).astype(np.float64)

    probability = probability_of(seen)
    moved = torch.cat([seen[..., 2:], seen[..., -1:].expand(-1, -1, -1, 2)], 3)
    return {
        "seed": SEED,
        "temperature": round(temperature, 4),
        "threshold": threshold,
        "cross-validation on train, one network each": figures.binary(labels, known, threshold),
        "val": figures.binary(truth, probability, threshold),
        "val at other thresholds (threshold, precision, recall)": [[t, round(figures.precision(truth, probability >= t), 4), round(figures.sensitivity(truth, probability >= t), 4)] for t in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)],
        "val, moved by two pixels, auc": figures.interval(figures.auc, truth, probability_of(moved)),
    }


if __name__ == "__main__":
    main()
