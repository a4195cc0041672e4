"""
Missing values before a classifier
==================================

Most classifiers take no missing values. An imputer in front of one fills them in: with means, from
neighbours, by regressions of each column on the others, or by a low-rank model.
"""

# %%
# Flowers with holes
# ------------------
# Four measurements of 150 irises of three species, of which a part is missing at random.

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from factorkit import LowRankImputer

X, y = load_iris(return_X_y=True)
shares = [0.2, 0.4, 0.6]


def with_holes(share, seed):
    return np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)


# %%
# What is filled in
# -----------------
# ``transform`` keeps what is observed, and fills in flowers that ``fit`` has not seen from the
# measurements they have.

X_holes = with_holes(0.2, seed=0)
imputer = LowRankImputer().fit(X_holes[::2])
holes = np.isnan(X_holes[1::2])
error = (imputer.transform(X_holes[1::2]) - X[1::2]) / X.std(axis=0)
by_means = (SimpleImputer().fit(X_holes[::2]).transform(X_holes[1::2]) - X[1::2]) / X.std(axis=0)
print(f"error in standard deviations: {np.sqrt(np.mean(error[holes] ** 2)):.2f}")
print(f"of the means: {np.sqrt(np.mean(by_means[holes] ** 2)):.2f}")

# %%
# In a pipeline
# -------------
# Every imputer is fitted anew to the training flowers of each fold. The scaler, which ignores NaN,
# comes first: distances between neighbours need it.

imputers = {
    "mean": SimpleImputer(),
    "KNNImputer": KNNImputer(),
    "IterativeImputer": IterativeImputer(),
    "LowRankImputer": LowRankImputer(),
}
accuracy = {name: [] for name in imputers}
milliseconds = {}
folds = StratifiedKFold(5, shuffle=True, random_state=0)
# IterativeImputer's ten rounds don't settle here.
warnings.simplefilter("ignore", ConvergenceWarning)
for name, imputer in imputers.items():
    pipeline = make_pipeline(StandardScaler(), imputer, LogisticRegression())
    for share in shares:
        results = [cross_validate(pipeline, with_holes(share, s), y, cv=folds) for s in range(4)]
        accuracy[name].append(np.mean([result["test_score"] for result in results]))
    spent = []
    for seed in range(4):
        begin = time.perf_counter()
        imputer.fit_transform(with_holes(0.4, seed))
        spent.append(1e3 * (time.perf_counter() - begin))
    milliseconds[name] = np.median(spent)
    print(f"{name}: accuracy {np.round(accuracy[name], 3)}, {milliseconds[name]:.0f} ms")

# %%
# Means throw away what the measurements say about each other. The low-rank model is as accurate as
# the regressions where little is missing, more so where much is, and an order of magnitude faster.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.4), layout="constrained", width_ratios=[3, 2]
)
colors = {"mean": "0.6", "KNNImputer": "C2", "IterativeImputer": "C0", "LowRankImputer": "C3"}
for name, values in accuracy.items():
    left.plot(shares, values, "o-", color=colors[name], label=name)
left.set(xlabel="Share of missing values", ylabel="Accuracy on held-out flowers", xticks=shares)
left.legend(frameon=False)
bars = right.barh(list(imputers), milliseconds.values(), color=colors.values())
right.bar_label(bars, fmt="{:.3g}", padding=3)
right.set(xscale="log", xlabel="Milliseconds for fit_transform")
right.margins(x=0.2)
right.invert_yaxis()
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
