"""Trains and exports the grader of diabetic retinopathy: `python train.py [--out ..]`, data in $LABELLED_DATA_DIR/fundus-dr-idrid.

Four networks, each without another quarter of `train`; each quarter, seen by the one network that doesn't know it, gives the temperature and the
threshold. The exported graph averages the four over a photograph and its mirror image. The figures are of the exported file, on `val`.
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
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import StratifiedKFold
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "train"))
import augment
import figures
import graph
from fit import fit_late
from graph_text import PREPROCESS
from lite0 import Trunk

SEED, FOLDS, VERSIONS, GRADES = 31, 4, 6, 5


class Net(nn.Module):
    """Eleven blocks of EfficientNet-Lite0; of 128 maps of evidence the mean and the highest are read. Four logits "grade above k", then three of the macula's oedema, which help to train."""

    def __init__(self):
        super().__init__()
        self.trunk = Trunk(blocks=11, frozen=8)
        self.head = nn.Sequential(nn.Conv2d(self.trunk.channels, 128, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU())
        self.out = nn.Sequential(nn.Dropout(0.4), nn.Linear(256, 7))

    def read(self, features):
        maps = self.head(features)
        return self.out(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)).float()

    def forward(self, x):
        return self.read(self.trunk(x))


class Together(nn.Module):
    """One prepared photograph (1, 3, 512, 512) to the probabilities of the grades (5) and of a referable one (1)."""

    def __init__(self, networks, temperature):
        super().__init__()
        self.networks, self.temperature = nn.ModuleList(networks), temperature

    def forward(self, x):
        early = [self.networks[0].trunk.early(view) for view in (x, x.flip(3))]
        logits = torch.stack([net.read(net.trunk.late(seen))[:, :4] for seen in early for net in self.networks])
        return grades_of(torch.sigmoid(logits.mean(0) / self.temperature)[0])


def grades_of(above):
    """From "above grade k" (..., 4), made to fall with k, to the grades (..., 5) and "2 or more" (..., 1)."""
    falling = [above[..., 0:1]]
    for k in (1, 2, 3):
        falling.append(torch.minimum(falling[-1], above[..., k : k + 1]))
    steps = torch.cat([torch.ones_like(falling[0]), *falling, torch.zeros_like(falling[0])], -1)
    return steps[..., :-1] - steps[..., 1:], falling[1]


def read(root, part):
    preprocess, pictures = graph.session(graph.parse(PREPROCESS, "field")), []
    rows = list(csv.DictReader(open(root / f"{part}.csv")))
    for row in rows:
        pictures.append(preprocess.run(["retina"], {"rgb": rgb(root / part / row["file"])})[0][0])
    return torch.tensor(np.stack(pictures)), np.array([int(r["dr_grade_0_4"]) for r in rows]), torch.tensor([int(r["dme_risk_0_2"]) for r in rows])


def rgb(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(np.float32).transpose(2, 0, 1)[None]


def change(pictures):
    def changed_batch(indices, generator):
        x = augment.warp(pictures[indices], generator, turn=30, scale=(0.9, 1.2), stretch=0.08, shift=0.05, flip_y=True)
        x = augment.sharpness(x, generator, most=0.8)
        gains = augment.uniform(len(x) * 3, 0.75, 1.3, generator).view(-1, 3, 1, 1)
        return augment.noise(x * gains, generator, most=0.06).clamp(-1, 1)

    return changed_batch


def train(kept, grades, oedema, chosen, epochs, seed, log):
    above = torch.tensor(grades[:, None] > np.arange(4)).float() * 0.94 + 0.03

    def loss_of(outputs, targets):
        wanted, edge = targets
        return nn.functional.binary_cross_entropy_with_logits(outputs[:, :4], wanted) + 0.2 * nn.functional.cross_entropy(outputs[:, 4:], edge)

    torch.manual_seed(seed)
    return fit_late(Net(), kept, chosen, lambda version, rows: (above[rows], oedema[rows]), loss_of, epochs=epochs, rate=2e-3, trunk_rate=1e-3, batch=16, decay=0.05, seed=seed, log=log)


@torch.no_grad()
def logits_of(net, pictures):
    net = net.eval()
    return np.concatenate([(sum(net(v.to(memory_format=torch.channels_last)) for v in (part, part.flip(3))) / 2)[:, :4].numpy() for part in pictures.split(8)])


def threshold_for(truth, probability, least=0.9):
    """The highest threshold that keeps this sensitivity."""
    return max(round(float(t), 2) for t in np.arange(0.05, 0.9, 0.01) if figures.sensitivity(truth, (probability >= t).astype(int)) >= least)


def kappa(truth, called):
    return float(cohen_kappa_score(truth, called, weights="quadratic"))


def report_of(truth, grades, referable, threshold):
    called = grades.argmax(1)
    return {
        "exact grade": figures.interval(figures.accuracy, truth, called),
        "at most one grade off": figures.interval(lambda t, c: float(np.mean(abs(t - c) <= 1)), truth, called),
        "quadratic kappa": figures.interval(kappa, truth, called),
        "confusion, truth by row": [[int(np.sum((truth == t) & (called == c))) for c in range(GRADES)] for t in range(GRADES)],
        "referable": figures.binary((truth >= 2).astype(int), referable, threshold),
    }


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data", default=os.environ.get("LABELLED_DATA_DIR", "labelled"))
    arguments.add_argument("--out", default=str(pathlib.Path(__file__).parents[1]))
    arguments.add_argument("--epochs", type=int, default=20)
    options = arguments.parse_args()
    root, out = pathlib.Path(options.data) / "fundus-dr-idrid", pathlib.Path(options.out)
    pictures, grades, oedema = read(root, "train")
    kept = Net().trunk.keep(pictures, change(pictures), VERSIONS, seed=SEED, batch=8)

    networks, held = [], np.zeros((len(grades), 4))
    for k, (inside, outside) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(grades, grades)):
        networks.append(train(kept, grades, oedema, inside, options.epochs, SEED + k, f"fold {k}"))
        held[outside] = logits_of(networks[-1], pictures[outside])
    temperature = figures.temperature((grades[:, None] > np.arange(4)).ravel(), held.ravel())
    known, referable = (t.numpy() for t in grades_of(torch.tensor(figures.sigmoid(held / temperature))))
    threshold = threshold_for((grades >= 2).astype(int), referable[:, 0])

    network = graph.from_torch(Together(networks, temperature), torch.zeros(1, 3, 512, 512), ["retina"], ["grades", "referable"])
    whole = graph.join(graph.parse(PREPROCESS, "field"), network, [("retina", "retina")], ["grades", "referable", "box", "field_share"])
    graph.save(graph.halve(whole), str(out / "model.onnx"))

    session, rows = graph.session(str(out / "model.onnx")), list(csv.DictReader(open(root / "val.csv")))
    answers = [session.run(["grades", "referable"], {"rgb": rgb(root / "val" / row["file"])}) for row in rows]
    truth = np.array([int(r["dr_grade_0_4"]) for r in rows])
    report = {
        "seed": SEED,
        "temperature": round(temperature, 4),
        "threshold": threshold,
        "cross-validation on train": report_of(grades, known, referable[:, 0], threshold),
        "val": report_of(truth, np.array([a[0] for a in answers]), np.array([a[1][0] for a in answers], dtype=np.float64), threshold),
        "val, every 14th file (referable, grades)": {row["file"]: [round(float(v), 5) for v in (*a[1], *a[0])] for row, a in list(zip(rows, answers))[::14]},
    }
    (out / "train" / "figures.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
