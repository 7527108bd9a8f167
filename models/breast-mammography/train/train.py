"""Trains and exports the mammogram classifier: `python train.py [--out ..]`, data in $LABELLED_DATA_DIR/mammo-mini-mias.

Four networks, each without another quarter of the patients of `train`; each quarter, seen by the one network that doesn't know it, gives the temperature.
The exported graph averages the four over a mammogram and its mirror image. The figures are of the exported file, on `val`.
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
from sklearn.model_selection import StratifiedGroupKFold
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "train"))
import augment
import figures
import graph
from fit import fit_late
from graph_text import HEIGHT, PREPROCESS, WIDTH
from lite0 import Trunk

SEED, FOLDS, VERSIONS, STRIDE = 41, 4, 8, 16
CELLS = (HEIGHT // STRIDE, WIDTH // STRIDE)


class Net(nn.Module):
    """Eleven blocks of EfficientNet-Lite0, one map of evidence at a sixteenth of the size; the mammogram's logit is a line over the map's soft maximum."""

    def __init__(self):
        super().__init__()
        self.trunk = Trunk(blocks=11, frozen=8)
        self.head = nn.Sequential(nn.Conv2d(self.trunk.channels, 96, 1, bias=False), nn.BatchNorm2d(96), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(96, 1, 1))
        self.line = nn.Parameter(torch.tensor([1.0, 2.0]))
        nn.init.constant_(self.head[-1].bias, -3.0)

    def read(self, features):
        evidence = self.head(features).float()
        flat = evidence.flatten(1)
        return evidence, self.line[0] * torch.logsumexp(flat * 2, 1) / 2 - self.line[1]

    def forward(self, x):
        return self.read(self.trunk(x * 2 - 1))


class Together(nn.Module):
    """One prepared mammogram (1, 1, 640, 448) to the probability of an abnormality (1) and its map (40, 28)."""

    def __init__(self, networks, temperature):
        super().__init__()
        self.networks, self.temperature = nn.ModuleList(networks), temperature

    def forward(self, x):
        x = x * 2 - 1
        maps, logits = [], []
        for flipped in (False, True):
            early = self.networks[0].trunk.early(x.flip(3) if flipped else x)
            for net in self.networks:
                evidence, logit = net.read(net.trunk.late(early))
                maps.append(evidence.flip(3) if flipped else evidence)
                logits.append(logit)
        return torch.sigmoid(torch.stack(logits).mean(0) / self.temperature), torch.sigmoid(torch.stack(maps).mean(0)[0, 0])


def grey(path):
    return np.asarray(Image.open(path).convert("L")).astype(np.float32)[None, None]


def lesion(row):
    """Centre and radius in pixels from the upper left corner, or None where it is not marked; the table counts rows from below."""
    numbers = row["x_y_radius"].split()
    if len(numbers) != 3 or not all(n.isdigit() for n in numbers):
        return None
    x, y, radius = (float(n) for n in numbers)
    return x, 1024 - y, radius


def read(root, part):
    """Mammograms as the graph makes them, discs where the lesions are, labels, patients, rows, regions."""
    preprocess, pictures, discs, regions = graph.session(graph.parse(PREPROCESS, "field")), [], [], []
    rows = list(csv.DictReader(open(root / f"{part}.csv")))
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    for row in rows:
        breast, region = preprocess.run(None, {"grey": grey(root / part / row["file"])})
        pictures.append(breast[0])
        regions.append(region)
        disc, found = np.zeros((1, HEIGHT, WIDTH), np.float32), lesion(row)
        if found:
            scale = WIDTH / region[2]
            x, y, radius = (found[0] - region[0]) * scale, (found[1] - region[1]) * scale, max(found[2] * scale, STRIDE * 0.75)
            disc[0] = np.hypot(across - x, down - y) <= radius
        discs.append(disc)
    labels = np.array([int(r["label_0norm_1benign_2malignant"] != "0") for r in rows])
    return torch.tensor(np.stack(pictures)), torch.tensor(np.stack(discs)), labels, np.array([r["patient"] for r in rows]), rows, regions


def change(pictures, discs):
    def changed_batch(indices, generator):
        x, mask = augment.warp(pictures[indices], generator, turn=15, scale=(0.85, 1.2), stretch=0.1, shift=0.06, extra=discs[indices])
        x = augment.sharpness(x, generator, most=1.0)
        x = augment.levels(x, generator, gain=0.1, offset=0.04, gamma=0.25)
        x = augment.noise(x, generator, most=0.03).clamp(0, 1.2)
        return x * 2 - 1, nn.functional.max_pool2d(mask, STRIDE)

    return changed_batch


def train(kept, discs, labels, chosen, epochs, seed, log):
    target = torch.tensor(labels).float() * 0.9 + 0.05

    def loss_of(outputs, targets):
        (evidence, logit), (wanted, disc) = outputs, targets
        place = nn.functional.binary_cross_entropy_with_logits(evidence, disc, pos_weight=torch.tensor(8.0))
        return nn.functional.binary_cross_entropy_with_logits(logit, wanted) + 2 * place

    torch.manual_seed(seed)
    return fit_late(Net(), kept, chosen, lambda version, rows: (target[rows], discs[version, rows]), loss_of, epochs=epochs, rate=2e-3, trunk_rate=7e-4, batch=16, decay=0.05, seed=seed, log=log)


@torch.no_grad()
def logits_of(net, pictures):
    net = net.eval()
    return np.concatenate([(sum(net(v.to(memory_format=torch.channels_last))[1] for v in (part, part.flip(3))) / 2).numpy() for part in pictures.split(8)])


def hit(heat, region, found):
    """Whether the highest cell's middle lies in the lesion's disc, or within 30 pixels (6 mm) of its middle."""
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    x = region[0] + (column + 0.5) * region[2] / CELLS[1]
    y = region[1] + (row + 0.5) * region[3] / CELLS[0]
    return float(np.hypot(x - found[0], y - found[1]) <= max(found[2], 30))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data", default=os.environ.get("LABELLED_DATA_DIR", "labelled"))
    arguments.add_argument("--out", default=str(pathlib.Path(__file__).parents[1]))
    arguments.add_argument("--epochs", type=int, default=20)
    options = arguments.parse_args()
    root, out = pathlib.Path(options.data) / "mammo-mini-mias", pathlib.Path(options.out)
    pictures, discs, labels, patients, _, _ = read(root, "train")
    kept, masks = Net().trunk.keep(pictures, change(pictures, discs), VERSIONS, seed=SEED, batch=8)

    networks, held = [], np.zeros(len(labels))
    for k, (inside, outside) in enumerate(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED).split(labels, labels, patients)):
        networks.append(train(kept, masks, labels, inside, options.epochs, SEED + k, f"fold {k}"))
        held[outside] = logits_of(networks[-1], pictures[outside])
        print("auc of the fold", figures.auc(labels[outside], held[outside]), flush=True)
    temperature = figures.temperature(labels, held)

    network = graph.from_torch(Together(networks, temperature), torch.zeros(1, 1, HEIGHT, WIDTH), ["breast"], ["probability", "heat_map"])
    whole = graph.join(graph.parse(PREPROCESS, "field"), network, [("breast", "breast")], ["probability", "heat_map", "region"])
    graph.save(graph.halve(whole), str(out / "model.onnx"))

    session, rows = graph.session(str(out / "model.onnx")), list(csv.DictReader(open(root / "val.csv")))
    answers = [session.run(None, {"grey": grey(root / "val" / r["file"])}) for r in rows]
    probability = np.array([a[0][0] for a in answers], dtype=np.float64)
    truth = np.array([int(r["label_0norm_1benign_2malignant"] != "0") for r in rows])
    groups = np.array([r["patient"] for r in rows])
    ill = [i for i, r in enumerate(rows) if lesion(r)]
    kinds, tissue = np.array([r["abnormality"] for r in rows]), np.array([r["tissue"] for r in rows])
    malignant = np.array([r["label_0norm_1benign_2malignant"] for r in rows]) != "1"
    report = {
        "seed": SEED,
        "temperature": round(temperature, 4),
        "cross-validation on train": figures.binary(labels, figures.sigmoid(held / temperature), groups=patients),
        "val": figures.binary(truth, probability, groups=groups),
        "val, malignant against normal, auc": figures.interval(figures.auc, truth[malignant], probability[malignant], groups=groups[malignant]),
        "val, highest point of the map in the lesion": figures.interval(lambda h: float(np.mean(h)), np.array([hit(answers[i][1], answers[i][2], lesion(rows[i])) for i in ill]), groups=groups[ill]),
        "val, mean probability by kind (mean, n)": {k: [round(float(probability[kinds == k].mean()), 3), int(np.sum(kinds == k))] for k in np.unique(kinds)},
        "val, auc by tissue (F fatty, G glandular, D dense)": {t: [round(figures.auc(truth[tissue == t], probability[tissue == t]), 3), int(np.sum(tissue == t))] for t in np.unique(tissue)},
        "val, every 16th file (probability)": {row["file"]: round(float(p), 5) for row, p in list(zip(rows, probability))[::16]},
    }
    (out / "train" / "figures.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
