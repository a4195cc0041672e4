"""
Ratings: predict them, choose the model, recommend
==================================================

Users rated some of the films. ``AltMinCompletion`` predicts the ratings that are not there; the
number of factors and the penalty are chosen by scikit-learn's own ``GridSearchCV``, which holds out
ratings. Then come lists of recommendations, and why one was made.
"""

# %%
# Ratings with a known truth
# --------------------------
# 1,000 users, 600 films, an eighth of the ratings known. A sparse array stores what is observed,
# and nothing else.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, KFold

from factorkit import AltMinCompletion, EntryRegressor, to_entries
from factorkit.datasets import make_ratings

ratings = make_ratings(1000, 600, rank=6, density=0.12, noise=0.7, random_state=0)
X = ratings.data
print(f"{X.nnz:,} ratings, {X.nnz / np.prod(X.shape):.0%} of all; mean {X.data.mean():.2f}")

# %%
# Tuned over ratings held out
# ---------------------------
# ``EntryRegressor`` makes the factorization a regressor from (user, film) to the rating.

coords, values = to_entries(X, missing="unstored")
ranks, alphas = [1, 2, 4, 6, 8, 12], [0.02, 0.06, 0.1, 0.2]
search = GridSearchCV(
    EntryRegressor(AltMinCompletion(bounds=(1, 5), random_state=0, max_iter=300)),
    {"estimator__n_components": ranks, "estimator__alpha": alphas},
    scoring="neg_root_mean_squared_error",
    cv=KFold(3, shuffle=True, random_state=0),
).fit(coords, values)
print(search.best_params_, f"RMSE {-search.best_score_:.4f}")

# %%
# Validation curves, one for each penalty. Too few factors miss some taste; with a small penalty
# many factors fit the noise; with a greater one they do less harm.

errors = -search.cv_results_["mean_test_score"].reshape(len(alphas), len(ranks))
spreads = search.cv_results_["std_test_score"].reshape(len(alphas), len(ranks))
figure, axes = plt.subplots(figsize=(6.8, 4.2), layout="constrained")
for alpha, error, spread, colour in zip(
    alphas, errors, spreads, plt.cm.viridis(np.linspace(0, 0.85, len(alphas))), strict=True
):
    axes.errorbar(ranks, error, spread, marker="o", ms=4, capsize=3, color=colour, label=alpha)
best = search.best_params_
axes.plot(
    best["estimator__n_components"], -search.best_score_, "o", ms=13, mfc="none", mec="tab:red",
    mew=1.5, label="chosen",
)  # fmt: skip
axes.set(xlabel="Number of factors", ylabel="RMSE on ratings held out", xticks=ranks)
axes.set_ylim(errors.min() - 0.01, errors.max() + 0.01)
axes.legend(title="alpha", frameon=False)
axes.spines[["top", "right"]].set_visible(False)

# %%
# Predictions and recommendations
# -------------------------------
# The model, fitted to all ratings. What it predicts for pairs that nobody rated is nearer the truth
# than the film's mean.

model = search.best_estimator_.estimator_
unseen = np.argwhere(X.toarray() == 0)
truth = np.clip(ratings.truth[tuple(unseen.T)], 1, 5)
predicted = model.predict_entries(unseen)
film_means = X.sum(axis=0) / np.maximum(np.diff(X.tocsc().indptr), 1)
for name, guess in (("the film's mean", film_means[unseen[:, 1]]), ("the model", predicted)):
    print(f"{name}: RMSE to the truth {np.sqrt(np.mean((guess - truth) ** 2)):.3f}")

films, scores = model.recommend([0, 1], n=5)  # never what they have rated
for user in (0, 1):
    # Scores are not clipped to 5, so they rank films that all deserve one.
    best = zip(films[user], scores[user], strict=True)
    listed = ", ".join(f"{film} ({score:.1f})" for film, score in best)
    print(f"user {user}: films {listed}")

# %%
# A new user is folded in from a few ratings, without another fit:

new_user = np.full((1, X.shape[1]), np.nan)
new_user[0, films[0]] = [5, 5, 4, 5, 4]
print("similar taste, so similar films:", model.recommend(X=new_user, n=5)[0][0])

# %%
# Why?
# ----
# At the optimum a prediction is a sum over the user's own ratings (representer points).

explanation = model.explain(0, int(films[0, 0]), n=6)
figure, axes = plt.subplots(figsize=(6.8, 3.2), layout="constrained")
labels = [f"film {j}, rated {X[0, j]:.0f}" for j in explanation.indices]
colours = np.where(explanation.contributions > 0, "tab:blue", "tab:orange")
axes.barh(labels, explanation.contributions, color=colours)
axes.axvline(0, color="0.4", lw=0.8)
axes.invert_yaxis()
axes.set(
    xlabel="Contribution to the predicted rating",
    title=f"User 0, film {films[0, 0]}: the six ratings that count most",
)
axes.spines[["top", "right"]].set_visible(False)
plt.show()
