"""Figures with 95 % confidence intervals (percentile bootstrap over groups, 2000 draws, seed 7) and calibration."""

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import roc_auc_score


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, dtype=np.float64)))


def interval(figure, *arrays, groups=None, draws=2000, seed=7):
    """`figure` of the arrays, with its interval: [value, low, high]. Whole groups are drawn; without groups each row is its own."""
    arrays = [np.asarray(a) for a in arrays]
    groups = np.arange(len(arrays[0])) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    members = [np.flatnonzero(groups == g) for g in range(groups.max() + 1)]
    generator, values = np.random.default_rng(seed), []
    for _ in range(draws):
        rows = np.concatenate([members[g] for g in generator.integers(len(members), size=len(members))])
        value = figure(*(a[rows] for a in arrays))
        if not np.isnan(value):
            values.append(value)
    low, high = np.percentile(values, [2.5, 97.5])
    return [round(float(v), 4) for v in (figure(*arrays), low, high)]


def auc(truth, score):
    return roc_auc_score(truth, score) if 0 < np.sum(truth) < len(truth) else float("nan")


def share(part, whole):
    return float(np.sum(part) / np.sum(whole)) if np.sum(whole) else float("nan")


def accuracy(truth, called):
    return float(np.mean(truth == called))


def sensitivity(truth, called):
    return share((truth == 1) & (called == 1), truth == 1)


def specificity(truth, called):
    return share((truth == 0) & (called == 0), truth == 0)


def precision(truth, called):
    return share((truth == 1) & (called == 1), called == 1)


def calibration_error(truth, probability, bins=10):
    """Expected calibration error over `bins` bins of equal width."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    gaps = [abs(truth[place == b].mean() - probability[place == b].mean()) * np.mean(place == b) for b in range(bins) if np.any(place == b)]
    return float(sum(gaps))


def reliability(truth, probability, bins=5):
    """Mean probability, observed share and count of each bin."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    rows = [(probability[place == b].mean(), truth[place == b].mean(), int(np.sum(place == b))) for b in range(bins) if np.any(place == b)]
    return [[round(float(a), 3), round(float(b), 3), n] for a, b, n in rows]


def temperature(truth, logits):
    """The one number that the logits are divided by, with the highest likelihood."""
    truth, logits = np.asarray(truth, dtype=np.float64), np.asarray(logits, dtype=np.float64)

    def loss(log_t):
        z = logits / np.exp(log_t)
        return np.mean(np.logaddexp(0, z) - truth * z)

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def binary(truth, probability, threshold=0.5, groups=None):
    """All figures of a yes/no model."""
    truth, probability = np.asarray(truth), np.asarray(probability)
    called = (probability >= threshold).astype(int)
    figures = {name: interval(f, truth, called, groups=groups) for name, f in [("accuracy", accuracy), ("sensitivity", sensitivity), ("specificity", specificity), ("precision", precision)]}
    return {
        "n": len(truth),
        "positive": int(truth.sum()),
        "threshold": threshold,
        "auc": interval(auc, truth, probability, groups=groups),
        **figures,
        "expected calibration error": interval(calibration_error, truth, probability, groups=groups),
        "brier": interval(lambda t, p: float(np.mean((t - p) ** 2)), truth, probability, groups=groups),
        "reliability (mean probability, observed share, count)": reliability(truth, probability),
    }
