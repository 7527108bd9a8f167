"""Trains and exports the COVID-19 slice classifier: `python train.py [--out ..]`, data in $LABELLED_DATA_DIR/ct-chest-covid-soares.

Three networks, each without another third of `train`, slices that look alike on one side; each third, seen by the one network that doesn't know it, gives
the temperature. One more knows all of `train`. The exported graph averages the four. The figures are of the exported file, on `val`, which nothing was fitted to.
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
from scipy.ndimage import binary_closing, binary_fill_holes
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "train"))
import augment
import figures
import graph
from fit import fit_late, predict
from graph_text import PREPROCESS
from lite0 import Trunk

SEED, FOLDS, WHOLE, VERSIONS = 20, 3, 1, 10


class Net(nn.Module):
    """Eleven blocks of EfficientNet-Lite0, one map of evidence at a sixteenth of the size; the slice's logit is a soft maximum of the map."""

    def __init__(self):
        super().__init__()
        self.trunk = Trunk(blocks=11, frozen=5)
        self.head = nn.Sequential(nn.Conv2d(self.trunk.channels, 128, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(128, 1, 1))

    def forward(self, x):
        return self.read(self.trunk(x * 2 - 1))

    def read(self, features):
        evidence = self.head(features).float()
        flat = evidence.flatten(1)
        logit = (torch.logsumexp(2 * flat, 1) - float(np.log(flat.shape[1]))) / 2
        return evidence, logit


def read(root, part):
    """Crops as the graph makes them (N, 1, 224, 224), labels, groups of near duplicates, and what lies outside the lungs."""
    preprocess, crops, outside = graph.session(graph.parse(PREPROCESS, "lungs")), [], []
    rows = list(csv.DictReader(open(root / f"{part}.csv")))
    for row in rows:
        grey = np.asarray(Image.open(root / part / row["file"]).convert("L")).astype(np.float32)
        crop, box, share = preprocess.run(None, {"grey": grey[None, None]})
        crops.append(crop[0])
        outside.append(around(grey, box, share))
    labels = torch.tensor([float(row["covid"]) for row in rows])
    return torch.tensor(np.stack(crops)), labels, np.array([row["near_dup_group"] for row in rows]), np.array(outside)


def around(grey, box, share):
    """What a shortcut would look at: size and shape of the picture, its edges and corners, its brightest greys, the lung's box."""
    h, w = grey.shape
    edge = np.concatenate([grey[:4].ravel(), grey[-4:].ravel(), grey[:, :4].ravel(), grey[:, -4:].ravel()])
    tissue = grey[grey > 180]
    return [h, w, h / w, *np.percentile(edge, [5, 25, 50, 75, 95]), edge.std(), *np.percentile(tissue if tissue.size else edge, [5, 50, 95]), np.mean(grey > 250), box[0] / w, box[1] / h, box[2] / w, box[3] / h, share[0]]


def change(crops):
    def changed_batch(indices, generator):
        x = augment.warp(crops[indices], generator, turn=15, scale=(0.8, 1.2), stretch=0.15)
        x = augment.sharpness(x, generator, most=1.5)
        x = augment.levels(x, generator)
        x = augment.noise(x, generator, most=0.12).clamp(-0.3, 0.95)
        return augment.cutout(x, generator, fill=0.95) * 2 - 1

    return changed_batch


def train(kept, labels, chosen, epochs, seed, log):
    target = labels * 0.94 + 0.03

    def loss_of(outputs, wanted):
        return nn.functional.binary_cross_entropy_with_logits(outputs[1], wanted)

    torch.manual_seed(seed)
    return fit_late(Net(), kept, chosen, lambda version, rows: target[rows], loss_of, epochs=epochs, rate=2e-3, trunk_rate=1e-3, seed=seed, log=log)


class Together(nn.Module):
    """One crop (1, 1, 224, 224) to the probability (1) and the map of evidence (14, 14), the mean of the networks."""

    def __init__(self, networks, temperature):
        super().__init__()
        self.networks, self.temperature = nn.ModuleList(networks), temperature

    def forward(self, x):
        early = self.networks[0].trunk.early(x * 2 - 1)
        maps, logits = zip(*[net.read(net.trunk.late(early)) for net in self.networks])
        return torch.sigmoid(torch.stack(logits).mean(0) / self.temperature), torch.sigmoid(torch.stack(maps).mean(0)[0, 0] / self.temperature)


def logits_of(model, crops):
    return predict(model, crops)[1].numpy()


def lookalikes(crops, outside, truth, near_duplicates):
    """Groups of slices that may be of one patient: 60 clusters a class, by the crop at 16 x 16 and by what lies around it; near duplicates together."""
    small = nn.functional.adaptive_avg_pool2d(crops, 16).flatten(1).numpy()
    seen = np.hstack([PCA(20, whiten=True, random_state=SEED).fit_transform(small), StandardScaler().fit_transform(outside)])
    cluster = np.zeros(len(truth), int)
    for label in (0, 1):
        cluster[truth == label] = label * 60 + KMeans(60, n_init=4, random_state=SEED).fit_predict(seen[truth == label])
    first = {}
    return np.array([first.setdefault(g, c) for g, c in zip(near_duplicates, cluster)])


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data", default=os.environ.get("LABELLED_DATA_DIR", "labelled"))
    arguments.add_argument("--out", default=str(pathlib.Path(__file__).parents[1]))
    arguments.add_argument("--epochs", type=int, default=12)
    options = arguments.parse_args()
    root, out = pathlib.Path(options.data) / "ct-chest-covid-soares", pathlib.Path(options.out)
    crops, labels, groups, outside = read(root, "train")
    truth = labels.numpy().astype(int)

    kept = Net().trunk.keep(crops, change(crops), VERSIONS, seed=SEED)
    networks, held = [], np.zeros(len(truth))
    groups = lookalikes(crops, outside, truth, groups)
    for k, (inside, apart) in enumerate(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED).split(truth, truth, groups)):
        networks.append(train(kept, labels, inside, options.epochs, SEED + k, f"fold {k}"))
        held[apart] = logits_of(networks[-1], crops[apart])
        print("auc of the fold", figures.auc(truth[apart], held[apart]), flush=True)
    for k in range(WHOLE):
        networks.append(train(kept, labels, np.arange(len(truth)), options.epochs, SEED + FOLDS + k, f"whole {k}"))
    temperature = figures.temperature(truth, held)
    cross_validated = figures.binary(truth, figures.sigmoid(held / temperature), groups=groups)

    network = graph.from_torch(Together(networks, temperature), torch.zeros(1, 1, 224, 224), ["lungs"], ["probability", "heat_map"])
    whole = graph.join(graph.parse(PREPROCESS, "field"), network, [("lungs", "lungs")], ["probability", "heat_map", "box", "lung_share"])
    graph.save(graph.halve(whole), str(out / "model.onnx"))
    report = {"seed": SEED, "temperature": round(temperature, 4), "cross-validation on train, look-alikes kept apart": cross_validated, **evaluate(root, out, truth, outside)}
    (out / "train" / "figures.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


def evaluate(root, out, truth, outside):
    session, rows = graph.session(str(out / "model.onnx")), list(csv.DictReader(open(root / "val.csv")))
    pictures = [np.asarray(Image.open(root / "val" / row["file"]).convert("L")).astype(np.float32)[None, None] for row in rows]
    seen = np.array([int(row["covid"]) for row in rows])
    groups = np.array([row["near_dup_group"] for row in rows])
    probability = score(session, pictures)
    return {
        "val": figures.binary(seen, probability, groups=groups),
        "val with other grey levels, sharpness and size": {name: [round(figures.auc(seen, p), 4), round(figures.accuracy(seen, p >= 0.5), 4)] for name, p in changed(session, pictures)},
        "shortcuts, auc on val": shortcuts(session, pictures, seen, truth, outside, root),
    }


def score(session, pictures):
    return np.array([session.run(["probability"], {"grey": p})[0][0] for p in pictures])


def changed(session, pictures):
    """Other hospitals' ways to export: window, gamma, inverted contrast steps, sharpness, size, air around the body."""
    generator = torch.Generator().manual_seed(1)
    ways = {
        "window -1000 to 400": lambda p: np.clip((p / 255 * 1500 - 1350 + 1000) / 1400 * 255, 0, 255),
        "window -1200 to 600": lambda p: np.clip((p / 255 * 1500 - 1350 + 1200) / 1800 * 255, 0, 255),
        "gamma 0.8": lambda p: 255 * (p / 255) ** 0.8,
        "noise of 8 grey levels": lambda p: np.clip(p + 8 * torch.randn(p.shape, generator=generator).numpy(), 0, 255),
        "blurred": lambda p: nn.functional.avg_pool2d(torch.tensor(p), 3, 1, 1, count_include_pad=False).numpy(),
        "512 columns": lambda p: np.asarray(Image.fromarray(p[0, 0]).resize((512, round(512 * p.shape[2] / p.shape[3])), Image.BICUBIC))[None, None],
        "a frame of air": lambda p: np.pad(p, ((0, 0), (0, 0), (60, 60), (60, 60)), constant_values=58.0),
        "mirrored": lambda p: np.ascontiguousarray(p[..., ::-1]),
    }
    return [(name, score(session, [way(p).astype(np.float32) for p in pictures])) for name, way in ways.items()]


def painted(picture, box):
    """The lungs, closed over lesions and vessels of up to a tenth of the box, in the grey of their median."""
    x, y, w, h = box
    copy = picture.copy()
    part = copy[0, 0, y : y + h, x : x + w]
    aerated = part < 140
    reach = max(3, w // 20)
    closed = binary_fill_holes(binary_closing(np.pad(aerated, reach), iterations=reach)[reach:-reach, reach:-reach])
    part[closed] = np.median(part[aerated]) if np.any(aerated) else 80
    return copy


def shortcuts(session, pictures, seen, truth, outside, root):
    """A forest on what lies around the lungs, fitted on train; and the network where lungs with all that is in them are painted over."""
    forest = RandomForestClassifier(500, random_state=SEED, n_jobs=2).fit(outside, truth)
    boxes = graph.session(graph.parse(PREPROCESS, "lungs"))
    features, blank = [], []
    for p in pictures:
        _, box, share = boxes.run(None, {"grey": p})
        features.append(around(p[0, 0], box, share))
        blank.append(painted(p, box.astype(int)))
    around_only = forest.predict_proba(np.array(features))[:, 1]
    return {"forest on size, edges, tissue and box of the raw picture": figures.interval(figures.auc, seen, around_only), "this network, lungs painted one grey": figures.interval(figures.auc, seen, score(session, blank))}


if __name__ == "__main__":
    main()
