"""
Parts of faces, with the holes filled
=====================================

Faces are sums of parts, and parts are nonnegative images. Here a square of every face is missing.
NMF learns the parts from what is there, and fills in the rest.
"""

# %%
# A hundred faces, each with a hole
# ---------------------------------
# A hole is a square of NaN, at another place in each face. Nothing else has to be said: NaN is
# missing.

import matplotlib.pyplot as plt
import numpy as np

from factorkit import NMF
from factorkit.datasets import load_faces
from factorkit.plotting import ComponentsDisplay

faces = load_faces()
X, (height, width) = faces.data, faces.image_shape
rng = np.random.default_rng(0)
side = 9
holes = np.zeros((len(X), height, width), dtype=bool)
for hole in holes:
    top, left = rng.integers(3, height - side - 3, size=2)
    hole[top : top + side, left : left + side] = True
holes = holes.reshape(X.shape)
X_holes = np.where(holes, np.nan, X)
print(f"{holes.mean():.0%} of the pixels are missing")

# %%
# Fit, and reconstruct
# --------------------
# With a hundred faces a small penalty matters: without one the coefficients of a face would fit
# its noise.

nmf = NMF(n_components=20, alpha_W=0.01, max_iter=1000, random_state=0)
W = nmf.fit_transform(X_holes)
X_filled = np.where(holes, nmf.inverse_transform(W), X)


def error(guess):
    return np.sqrt(np.mean((guess - X)[holes] ** 2))


mean_face = np.broadcast_to(np.nanmean(X_holes, axis=0), X.shape)
print(f"error in the holes: {error(X_filled):.3f}; of the mean face {error(mean_face):.3f}")

shown = [0, 11, 25, 38, 52, 60, 74, 90]
figure, axes = plt.subplots(3, len(shown), figsize=(9, 3.7), layout="constrained")
for row, (title, images) in zip(
    axes, [("given", X_holes), ("filled", X_filled), ("true", X)], strict=True
):
    row[0].set_ylabel(title)
    for ax, i in zip(row, shown, strict=True):
        ax.imshow(images[i].reshape(height, width), cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.set_facecolor("tab:orange")

# %%
# The parts
# ---------
# Each component is an image. A face is the sum of a few of them, with its row of ``W`` as
# coefficients.

ComponentsDisplay.from_estimator(nmf, image_shape=(height, width))
plt.show()
