"""Trains and exports the false-positive network: `python train.py [--out ..]`, data in $LABELLED_DATA_DIR/ct-lung-nodule-luna16-50px.

Five small networks, each without another fifth of `train`, and a sixth that begins as EfficientNet-Lite0 with ImageNet weights, without the first fifth. The
exported graph adds the sixth to the mean of the five, over the four ways to turn a patch. The first fifth, seen by the two networks that don't know it, gives temperature and
threshold. The figures are of the exported file, on `val`.
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
from fit import fit, fit_late, predict
from lite0 import Trunk

SEED, FOLDS, SIZE, AIR, SPAN = 5, 5, 50, -1000.0, 1400.0
SIDE, VERSIONS, LATE_EPOCHS = 96, 4, 6


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )
        self.side = nn.Sequential() if inputs == outputs and stride == 1 else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return torch.relu(self.body(x) + self.side(x))


class Net(nn.Module):
    """A small residual network; the candidate lies in the middle, so the middle is read apart from the whole."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), Residual(32, 32, 2), Residual(32, 64, 2), Residual(64, 64, 1), Residual(64, 128, 2), Residual(128, 128, 1))
        self.head = nn.Sequential(nn.Dropout(0.4), nn.Linear(256, 1))

    def forward(self, x):
        y = self.body(x)
        return self.head(torch.cat([y.mean((2, 3)), y[:, :, 2:5, 2:5].mean((2, 3))], 1))[:, 0].float()


class Pretrained(nn.Module):
    """Eleven blocks of EfficientNet-Lite0 on the enlarged patch; the middle is read apart from the whole."""

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

    def __init__(self, networks, pretrained, temperature):
        super().__init__()
        self.networks, self.pretrained, self.temperature = nn.ModuleList(networks), pretrained, temperature

    def forward(self, x):
        turned = views(((x - AIR) / SPAN).clamp(0, 1))
        small = [net(view) for view in turned for net in self.networks]
        large = [self.pretrained(view) for view in turned]
        return torch.sigmoid((torch.stack(small).mean(0) + torch.stack(large).mean(0)) / self.temperature)


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


def train(patches, labels, epochs, seed, log):
    grey = ((patches - AIR) / SPAN).clamp(0, 1)
    target = torch.tensor(labels).float()
    changed = change(grey)

    def batch_of(indices, generator):
        x = changed(indices, generator)
        y = target[indices] * 0.96 + 0.02
        share = torch.rand(1, generator=generator).clamp(0.0, 1.0).item() * 0.3
        order = torch.randperm(len(x), generator=generator)
        return x * (1 - share) + x[order] * share, y * (1 - share) + y[order] * share

    return fit(Net(), len(grey), batch_of, nn.functional.binary_cross_entropy_with_logits, epochs=epochs, rate=4e-3, batch=64, seed=seed, log=log)


def train_pretrained(patches, labels, inside):
    grey = ((patches - AIR) / SPAN).clamp(0, 1)
    target = torch.tensor(labels).float() * 0.96 + 0.02
    changed = change(grey)
    kept = Pretrained().trunk.keep(grey, lambda indices, generator: enlarge(changed(indices, generator)), VERSIONS, seed=SEED)
    torch.manual_seed(SEED)
    loss = nn.functional.binary_cross_entropy_with_logits
    return fit_late(Pretrained(), kept, inside, lambda version, rows: target[rows], loss, epochs=LATE_EPOCHS, rate=2e-3, trunk_rate=1e-3, batch=64, seed=SEED, log="pretrained")


def operating_point(truth, probability):
    """The threshold with the most recall among those with a precision of 0.90; 0.5 where there is none."""
    best = (-1.0, 0.5)
    for threshold in np.arange(0.02, 0.99, 0.01):
        called = (probability >= threshold).astype(int)
        precision, recall = figures.precision(truth, called), figures.sensitivity(truth, called)
        if precision >= 0.90:
            best = max(best, (recall, threshold))
    return round(float(best[1]), 2)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data", default=os.environ.get("LABELLED_DATA_DIR", "labelled"))
    arguments.add_argument("--out", default=str(pathlib.Path(__file__).parents[1]))
    arguments.add_argument("--epochs", type=int, default=24)
    options = arguments.parse_args()
    root, out = pathlib.Path(options.data) / "ct-lung-nodule-luna16-50px", pathlib.Path(options.out)
    patches, labels = read(root, "train")

    networks, parts = [], list(folds(labels))
    for k, (inside, _) in enumerate(parts):
        networks.append(train(patches[inside], labels[inside], options.epochs, SEED + k, f"fold {k}"))
    inside, outside = parts[0]
    pretrained = train_pretrained(patches, labels, inside)
    held = logits_of(networks[0], patches[outside]) + logits_of(pretrained, patches[outside])
    report = export(networks, pretrained, labels[outside], held, root, out)
    (out / "train" / "figures.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


def folds(labels):
    return StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(labels, labels)


def logits_of(network, patches):
    return np.mean([predict(network, view, 256).numpy() for view in views(((patches - AIR) / SPAN).clamp(0, 1))], 0)


def export(networks, pretrained, labels, held, root, out):
    """Writes the graph, and gives the figures of the file."""
    temperature = figures.temperature(labels, held)
    known = figures.sigmoid(held / temperature)
    threshold = operating_point(labels, known)
    model = graph.from_torch(Together(networks, pretrained, temperature), torch.zeros(2, 1, SIZE, SIZE), ["hounsfield"], ["probability"], batch=True)
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
        "first fifth of train, one network of either kind": figures.binary(labels, known, threshold),
        "val": figures.binary(truth, probability, threshold),
        "val at other thresholds (threshold, precision, recall)": [[t, round(figures.precision(truth, probability >= t), 4), round(figures.sensitivity(truth, probability >= t), 4)] for t in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)],
        "val, moved by two pixels, auc": figures.interval(figures.auc, truth, probability_of(moved)),
    }


if __name__ == "__main__":
    main()
