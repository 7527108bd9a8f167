"""Chooses 20 proteins and fits the severity score: `python train.py [--out ..]`, data in $LABELLED_DATA_DIR/table-plasma-proteomics-covid-su2020.

Severe is WHO 5 to 7, mild 1 to 4; healthy donors (0) are not trained on. A patient's samples stay in one fold. The choice of the proteins and of
the penalty lies inside the cross-validation, whose figure is thus that of the whole recipe; the exported panel comes from all of `train`.
"""

import argparse
import csv
import json
import os
import pathlib
import re
import sys

import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "train"))
import figures

SEED, PANEL, PENALTIES, LEAST_MEASURED = 11, 20, [0.003, 0.01, 0.03, 0.1], 0.95


def read(root, part):
    rows = list(csv.DictReader(open(root / f"{part}.csv")))
    # Proteins on several assay plates come several times, as "name.1": one value for one code, so the first is taken.
    names = [n for n in rows[0] if n not in ("Healthy donor sample or COVID19 sample", "sample_id", "Who Ordinal Scale", "patient") and not re.search(r"\.\d$", n)]
    values = np.array([[float(r[n]) if r[n] not in ("", "NA") else np.nan for n in names] for r in rows])
    # The column `patient` numbers the samples; a sample's name is that of the patient with -BL or -AC behind it.
    patients = np.array([r["sample_id"].split("-")[0] for r in rows])
    return names, values, np.array([int(r["Who Ordinal Scale"]) for r in rows]), patients, [r["sample_id"] for r in rows]


def standards(x):
    middle = np.nanmedian(x, 0)
    filled = np.where(np.isnan(x), middle, x)
    return middle, filled.mean(0), filled.std(0) + 1e-9


def prepared(x, middle, mean, deviation):
    return (np.where(np.isnan(x), middle, x) - mean) / deviation


def choose(z, severe):
    """The proteins that part severe from mild best, one by one."""
    return np.argsort([-abs(figures.auc(severe, z[:, j]) - 0.5) for j in range(z.shape[1])], kind="stable")[:PANEL]


def fit_panel(x, severe, penalty):
    """The panel, its standards, and weights on standardised values, with the class sizes evened out."""
    middle, mean, deviation = standards(x)
    z = prepared(x, middle, mean, deviation)
    panel = choose(z, severe)
    model = LogisticRegression(C=penalty, class_weight="balanced", max_iter=1000).fit(z[:, panel], severe)
    return {"panel": panel, "middle": middle[panel], "mean": mean[panel], "deviation": deviation[panel], "weights": model.coef_[0], "intercept": model.intercept_[0]}


def logits(model, x):
    return prepared(x[:, model["panel"]], model["middle"], model["mean"], model["deviation"]) @ model["weights"] + model["intercept"]


def folds(severe, patients, seed):
    return StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(severe, severe, patients)


def held_out(x, severe, patients, penalty, seed):
    held = np.zeros(len(severe))
    for train, test in folds(severe, patients, seed):
        held[test] = logits(fit_panel(x[train], severe[train], penalty), x[test])
    return held


def best_penalty(x, severe, patients, seed):
    return max(PENALTIES, key=lambda c: figures.auc(severe, held_out(x, severe, patients, c, seed)))


def calibration(severe, held):
    """Slope and intercept that turn held-out logits into probabilities at the share of severe samples in the data."""
    model = LogisticRegression(C=1e6).fit(np.array(held)[:, None], severe)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data", default=os.environ.get("LABELLED_DATA_DIR", "labelled"))
    arguments.add_argument("--out", default=str(pathlib.Path(__file__).parents[1]))
    options = arguments.parse_args()
    root, out = pathlib.Path(options.data) / "table-plasma-proteomics-covid-su2020", pathlib.Path(options.out)
    names, values, who, patients, samples = read(root, "train")
    measured = np.mean(~np.isnan(values), 0) >= LEAST_MEASURED
    names, values = np.array(names)[measured], values[:, measured]
    ill = who > 0
    x, severe, groups = values[ill], (who[ill] >= 5).astype(int), patients[ill]

    nested = np.zeros(len(severe))
    for train, test in folds(severe, groups, SEED):
        penalty = best_penalty(x[train], severe[train], groups[train], SEED + 1)
        nested[test] = logits(fit_panel(x[train], severe[train], penalty), x[test])
    penalty = best_penalty(x, severe, groups, SEED + 1)
    model = fit_panel(x, severe, penalty)
    slope, intercept = calibration(severe, held_out(x, severe, groups, penalty, SEED + 2))

    val_names, val_values, val_who, val_patients, val_samples = read(root, "val")
    val_values = val_values[:, [val_names.index(n) for n in names]]
    export(model, slope, intercept, out / "model.onnx")
    score = run(out / "model.onnx", val_values[:, model["panel"]])
    ill_val = val_who > 0
    unseen = ill_val & ~np.isin(val_patients, patients)
    truth = (val_who >= 5).astype(int)
    report = {
        "seed": SEED,
        "penalty C": penalty,
        "proteins": [{"name": str(names[p]), "weight": round(float(w), 4)} for p, w in zip(model["panel"], model["weights"])],
        "nested cross-validation on train, auc": figures.interval(figures.auc, severe, nested, groups=groups),
        "val": figures.binary(truth[ill_val], score[ill_val], groups=val_patients[ill_val]),
        "val, patients that train does not know": figures.binary(truth[unseen], score[unseen], groups=val_patients[unseen]),
        "val, Spearman's correlation with WHO 1 to 7": figures.interval(lambda a, b: float(spearmanr(a, b)[0]), val_who[ill_val], score[ill_val], groups=val_patients[ill_val]),
        "val, median score by WHO": {int(w): round(float(np.median(score[val_who == w])), 3) for w in np.unique(val_who)},
        "val, one protein in ten missing, auc": figures.interval(figures.auc, truth[ill_val], with_gaps(out, val_values[:, model["panel"]])[ill_val], groups=val_patients[ill_val]),
        "two samples of a patient, train and val": course(out, model, np.vstack([values, val_values]), np.concatenate([who, val_who]), [*samples, *val_samples]),
    }
    (out / "train" / "figures.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


def with_gaps(out, panel):
    gaps = np.random.default_rng(SEED).random(panel.shape) < 0.1
    return run(out / "model.onnx", np.where(gaps, np.nan, panel))


def course(out, model, values, who, samples):
    """Patients sampled twice (-BL at the start, -AC later): does the score move the way the severity moved?"""
    score, place = run(out / "model.onnx", values[:, model["panel"]]), {s: i for i, s in enumerate(samples)}
    pairs = [(place[s], place[s[:-3] + "-AC"]) for s in samples if s.endswith("-BL") and s[:-3] + "-AC" in place]
    moved = [(who[b] - who[a], score[b] - score[a]) for a, b in pairs if who[a] != who[b]]
    return {"pairs": len(pairs), "severity changed": len(moved), "score moved with it": int(sum((d > 0) == (s > 0) for d, s in moved))}


def export(model, slope, intercept, path):
    import graph
    import onnx
    from onnx import numpy_helper

    text = f"""
(float[samples, {PANEL}] proteins) => (float[samples] severity, float[samples] observed) {{
  missing = IsNaN(proteins)
  filled = Where(missing, middle, proteins)
  centred = Sub(filled, mean)
  standardised = Div(centred, deviation)
  weighted = MatMul(standardised, weights)
  logit_column = Add(weighted, intercept)
  axis = Constant<value_ints = [1]>()
  logit = Squeeze(logit_column, axis)
  severity = Sigmoid(logit)
  missing_number = Cast<to = 1>(missing)
  missing_count = ReduceSum<keepdims = 0>(missing_number, axis)
  all = Constant<value = float {{{float(PANEL)}}}>()
  observed = Sub(all, missing_count)
}}"""
    parsed = onnx.parser.parse_model(f'<ir_version: {graph.IR}, opset_import: ["" : {graph.OPSET}]>\nseverity {text}')
    numbers = {"middle": model["middle"], "mean": model["mean"], "deviation": model["deviation"], "weights": (model["weights"] * slope)[:, None], "intercept": np.array([model["intercept"] * slope + intercept])}
    parsed.graph.initializer.extend(numpy_helper.from_array(np.asarray(v, dtype=np.float32), k) for k, v in numbers.items())
    graph.save(parsed, str(path))


def run(path, values):
    import graph

    return graph.session(str(path)).run(["severity"], {"proteins": values.astype(np.float32)})[0].astype(np.float64)


if __name__ == "__main__":
    main()
