"""
Error bars that are right
=========================

A predicted rating of 4 may be as good as certain, or hardly more than a guess.
``BayesianMatrixFactorization`` says which: its 90 % intervals hold 90 % of what they are to hold.
"""

# %%
# Careful users and moody ones
# ----------------------------
# 800 users and 500 films, 6 % of the ratings known. The users' taste is planted, so the truth
# behind every rating is known; on top comes noise, of another size for each user. A third of the
# known ratings is held out.

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse
from scipy.stats import norm

from factorkit import BayesianMatrixFactorization
from factorkit.datasets import make_ratings

rng = np.random.default_rng(0)
ratings = make_ratings(800, 500, rank=4, density=0.06, noise=0, whole=False, random_state=0)
users, films = ratings.data.nonzero()
truth = ratings.truth[users, films]
noise = rng.choice([0.25, 0.5, 1.0], size=800)
values = truth + noise[users] * rng.standard_normal(len(users))
held_out = rng.random(len(users)) < 1 / 3
known = ~held_out
X = sparse.csr_array((values[known], (users[known], films[known])), shape=(800, 500))

# %%
# The fit draws factors, noise and all other parameters from their posterior distribution by Gibbs
# sampling. Nothing is to be tuned. R̂ compares the two halves of the chain, or several chains: near
# 1, it has been run long enough for these predictions.

model = BayesianMatrixFactorization(n_components=8, random_state=0).fit(X)
print("median R̂ of predictions:", np.median(model.rhat_["predictions"]).round(2))

# %%
# A prediction is the mean over the draws. Its standard deviation is that of a new rating, noise
# included; with ``noise=False`` it is that of the user's taste alone, which is what a planted truth
# can be compared with.

coords = np.column_stack((users, films))[held_out]
mean, std = model.predict_entries(coords, return_std=True)
_, std_of_taste = model.predict_entries(coords, return_std=True, noise=False)
error = values[held_out] - mean
error_of_taste = truth[held_out] - mean
print(f"RMSE {np.sqrt(np.mean(error**2)):.3f}, mean predicted {np.sqrt(np.mean(std**2)):.3f}")

# %%
# Promised and kept
# -----------------
# On the left, the part of the held-out ratings that intervals of every size hold. On the right,
# predictions are grouped by their error bars, with what chance leaves open of each group's error:
# where the bars are three times as wide, errors are three times as large.

levels = np.linspace(0.05, 0.99, 40)
figure, axes = plt.subplots(1, 2, figsize=(9.2, 4.3), layout="constrained")
axes[0].plot([0, 1], [0, 1], color="0.6", lw=1, zorder=0)
for e, s, label, style in (
    (error, std, "new ratings", "-"),
    (error_of_taste, std_of_taste, "the truth behind them", "--"),
):
    held = [np.mean(np.abs(e) < norm.ppf(0.5 + level / 2) * s) for level in levels]
    axes[0].plot(levels, held, style, lw=2, label=label)
at_90 = np.mean(np.abs(error) < norm.ppf(0.95) * std)
axes[0].annotate(
    f"90 % promised,\n{at_90:.1%} kept", (0.9, at_90), (0.5, 0.93), va="top", ha="center",
    arrowprops={"arrowstyle": "->", "color": "0.3"},
)  # fmt: skip
axes[0].set(
    xlabel="Probability promised", ylabel="Part of the ratings held", xlim=(0, 1), ylim=(0, 1)
)
axes[0].legend(frameon=False, loc="lower right")

for group in np.array_split(np.argsort(std), 15):
    rms = np.sqrt(np.mean(error[group] ** 2))
    spread = rms / np.sqrt(2 * len(group))
    axes[1].errorbar(np.sqrt(np.mean(std[group] ** 2)), rms, 2 * spread, fmt="o", color="C0", ms=5)
limits = [0.9 * std.min(), 1.1 * np.quantile(std, 0.99)]
axes[1].plot(limits, limits, color="0.6", lw=1, zorder=0)
axes[1].set(
    xlabel="Predicted standard deviation", ylabel="RMS error of the group", xlim=limits, ylim=limits
)
for ax in axes:
    ax.set_box_aspect(1)
    ax.spines[["top", "right"]].set_visible(False)

# %%
# Where they come from
# --------------------
# Two things make a prediction unsure: few ratings of a user, and a moody user. The model tells them
# apart. On the left the error bars of the taste, on the right what the noise adds.

n_known = np.diff(X.indptr)[coords[:, 0]]
std_of_noise = np.sqrt(std**2 - std_of_taste**2)
figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.8), layout="constrained")
for size, colour in zip((0.25, 0.5, 1.0), ("C2", "C0", "C3"), strict=True):
    of_size = noise[coords[:, 0]] == size
    axes[0].plot(n_known[of_size], std_of_taste[of_size], ".", ms=2.5, color=colour, alpha=0.4)
    bins = np.linspace(0.1, 1.5, 57)
    axes[1].hist(std_of_noise[of_size], bins, color=colour, alpha=0.7, label=f"{size:g}")
    axes[1].axvline(size, color=colour, ls="--", lw=1)
axes[0].set(
    xscale="log", xlabel="Ratings known of the user", ylabel="Standard deviation of the taste"
)
axes[1].legend(title="Noise of the user", frameon=False)
axes[1].set(xlabel="Standard deviation of the noise", ylabel="Held-out ratings")
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
