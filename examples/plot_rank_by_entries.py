"""
Choosing a rank: hold out entries, not rows
===========================================

Cross-validation over rows always picks the largest number of components. Over entries it finds the
right one.
"""

# %%
# Four planted components
# -----------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, KFold, ValidationCurveDisplay

from factorkit import NMF, EntryRegressor, RankSelection, to_entries
from factorkit.datasets import make_low_rank_nonnegative
from factorkit.plotting import RankSelectionDisplay

X = make_low_rank_nonnegative(150, 80, 4, noise=0.2, random_state=0).data
ranks = np.arange(1, 11)
folds = KFold(5, shuffle=True, random_state=0)
nmf = NMF(max_iter=2000, random_state=0)

# %%
# Over rows
# ---------
# The components come from the other rows, but ``transform`` fits the coefficients of a held-out row
# to that row's own values. So nothing of it is held out, and more components always fit it better.

by_rows = GridSearchCV(nmf, {"n_components": ranks}, cv=folds).fit(X)
print("over rows:", by_rows.best_params_)

# %%
# Over entries
# ------------
# ``to_entries`` lists the entries of X by row and column, and ``EntryRegressor`` makes NMF a
# regressor on that list. An entry of a fold is a hole: neither W nor H has seen it.

coords, values = to_entries(X)
regressor = EntryRegressor(nmf)
by_entries = GridSearchCV(regressor, {"estimator__n_components": ranks}, cv=folds)
by_entries.fit(coords, values)
print("over entries:", by_entries.best_params_)

# %%
# Both as validation curves, by scikit-learn's own display. Each side has its own score, greater is
# better: what matters is where the curve of the held-out data turns down.

figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
options = {"param_range": ranks, "cv": folds, "std_display_style": "errorbar"}
ValidationCurveDisplay.from_estimator(
    nmf, X, None, param_name="n_components", ax=axes[0], **options
)
ValidationCurveDisplay.from_estimator(
    regressor, coords, values, param_name="estimator__n_components", ax=axes[1], **options
)
axes[0].set_ylabel("Explained variance")
axes[1].set_ylabel("R²")
for ax, search, unit in zip(axes, [by_rows, by_entries], ["rows", "entries"], strict=True):
    (chosen,) = search.best_params_.values()
    ax.axvline(chosen, color="0.5", linestyle="--", linewidth=1, zorder=0)
    ax.set(title=f"Held-out {unit}: picks {chosen}", xlabel="Number of components", xticks=ranks)
    ax.set_xlim(ranks[1] - 0.5, None)
    ax.set_ylim(search.cv_results_["mean_test_score"][1] - 0.03, None)
    ax.spines[["top", "right"]].set_visible(False)

# %%
# In one line
# -----------
# ``RankSelection`` does the same without the list, and looks at a second sign: whether fits from
# random starts end at the same components. It takes the smallest number whose error is within one
# standard error of the least.

selection = RankSelection(nmf, n_components=ranks, n_restarts=8, random_state=0).fit(X)
print("RankSelection:", selection.n_components_)
RankSelectionDisplay.from_estimator(selection)
plt.show()
