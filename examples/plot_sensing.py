"""
Matrix sensing, whatever the condition number
=============================================

Gradient descent finds a low-rank matrix from a few linear measurements, but it learns a singular
value in a time that grows with how small it is. ``ScaledGDSensing`` doesn't.
"""

# %%
# Measurements
# ------------
# A matrix of rank 3 is measured by Gaussian matrices: :math:`y_i = \langle A_i, M \rangle`. There
# are fewer measurements than entries. The condition number is the ratio of the largest to the
# smallest of the three singular values.

import matplotlib.pyplot as plt
import numpy as np

from factorkit import ScaledGDSensing

n, rank, n_measurements = 40, 3, 1000
rng = np.random.default_rng(0)
A = rng.standard_normal((n_measurements, n, n))
U, V = (np.linalg.qr(rng.standard_normal((n, rank)))[0] for _ in range(2))


def planted(condition):
    return (U * np.geomspace(1, 1 / condition, rank)) @ V.T


def measure(M):
    return A.reshape(n_measurements, -1) @ M.ravel()


print(f"{n_measurements} measurements of {n * n} entries")

# %%
# Gradient descent
# ----------------
# Both methods write :math:`M = L R^T` with eight components, as if the rank were not known, and
# start near zero.


def gradient_descent(y, k=8, n_iter=200):
    L, R = 1e-3 * rng.standard_normal((2, n, k)) / np.sqrt(n)
    residuals = []
    for _ in range(n_iter):
        r = measure(L @ R.T) - y
        residuals.append(np.linalg.norm(r) / np.linalg.norm(y))
        G = np.tensordot(r, A, axes=1) / n_measurements
        L, R = L - 0.5 * G @ R, R - 0.5 * G.T @ L
    return residuals


# %%
# Both side by side
# -----------------
# Of ``ScaledGDSensing`` the history of the objective, :math:`\tfrac12 |A(M) - y|^2`, is all that is
# needed.

conditions = [1, 10, 100, 1000]
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained", sharey=True)
colours = plt.colormaps["viridis"](np.linspace(0, 0.85, len(conditions)))
for condition, colour in zip(conditions, colours, strict=True):
    M = planted(condition)
    y = measure(M)
    model = ScaledGDSensing(n_components=8, random_state=0).fit(A, y)
    error = np.linalg.norm(model.matrix_ - M) / np.linalg.norm(M)
    print(
        f"condition number {condition}: rank {model.rank_} found in {model.n_iter_} iterations, "
        f"relative error {error:.0e}"
    )
    residuals = np.sqrt(2 * model.objective_) / np.linalg.norm(y)
    axes[0].semilogy(gradient_descent(y), color=colour)
    axes[1].semilogy(residuals, color=colour, label=f"{condition}")

axes[0].set(title="Gradient descent", ylabel="Residual, relative to y")
axes[1].set(title="ScaledGDSensing")
axes[1].legend(title="Condition number", frameon=False)
for ax in axes:
    ax.set(xlabel="Iteration", xlim=(0, 200), ylim=(3e-7, 3))
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)

# %%
# Gradient descent waits for each smaller singular value longer than for the last. With condition
# number 1 there is none, and it is the superfluous components that it doesn't get rid of. The steps
# of the right panel are the singular values too, but each of them takes the same time.
#
# With noise
# ----------
# A fit with too many components would go on to fit the noise. This one stops where the residuals
# hold no more than that, and drops what it doesn't need.

M = planted(10)
y = measure(M)
sigma = np.std(y)
levels = np.geomspace(1e-3, 0.3, 6)
errors, ranks = [], []
for level in levels:
    model = ScaledGDSensing(n_components=8, random_state=0)
    model.fit(A, y + level * sigma * rng.standard_normal(n_measurements))
    errors.append(np.linalg.norm(model.matrix_ - M) / np.linalg.norm(M))
    ranks.append(model.rank_)

n_parameters = rank * (2 * n - rank)
figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
ax.loglog(levels, errors, "o", label="ScaledGDSensing, and the rank it finds")
ax.loglog(
    levels,
    levels * np.sqrt(n_parameters / (n_measurements - n_parameters)),
    color="0.5",
    label="Least squares with the rank known",
)
for level, error, found in zip(levels, errors, ranks, strict=True):
    ax.annotate(str(found), (level, error), xytext=(0, 8), textcoords="offset points", ha="center")
ax.set(xlabel="Noise, relative to y", ylabel="Error, relative to M")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
