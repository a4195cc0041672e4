"""
How many endmembers
===================

A scene of k materials lies in k dimensions, but for its noise. Counting the dimensions that stand
out of the noise gives the number in scenes that are made of k spectra and noise. Where materials
vary from pixel to pixel, neighbouring pixels tell. Real materials vary from field to field as well,
and there the count is an upper guide.
"""

# %%
# Where it works, and what ruined bands do to it
# ----------------------------------------------
# Five materials and white noise. Without the shape of the image, ``estimate_n_endmembers`` goes by
# random matrix theory, "rmt": it compares the eigenvalues of the scene, in units of the noise, with
# the largest that noise alone would have. Stripes are no noise: they
# are the same all down a column, and every striped band has some of its own, so they count as
# dimensions. ``Unmixer`` flags such bands, and counts the dimensions of the others.

import matplotlib.pyplot as plt
import numpy as np

from factorkit import Unmixer, estimate_n_endmembers
from factorkit.datasets import load_indian_pines, make_scene
from factorkit.plotting import AbundanceDisplay, EndmemberCountDisplay

clean = make_scene(5, random_state=0)
striped = make_scene(5, ruined_bands=0.2, ruin="stripes", random_state=0)
model = Unmixer(image_shape=striped.image_shape, random_state=0).fit(striped.data)
print("n_components='auto' finds", model.n_components_)

scenes = {
    "Clean": clean.data,
    "Stripes in 30 bands": striped.data,
    "Without flagged bands": striped.data[:, model.band_weights_ > 0],
}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
for ax, (title, X) in zip(axes, scenes.items(), strict=True):
    EndmemberCountDisplay.from_count(estimate_n_endmembers(X), ax=ax, max_components=40)
    ax.set_title(title)
    ax.label_outer()
figure.suptitle('Without the image: "rmt"')

# %%
# Materials that vary
# -------------------
# Here the brightness and the slope of each material differ by a tenth from pixel to pixel. That has
# dimensions of its own, which stand out of the noise as well as those of the materials. But what is
# independent from pixel to pixel has no part in the mean products of neighbours: given the shape of
# the image, ``estimate_n_endmembers`` counts the dimensions in which neighbours are alike. It does
# so where there are patches; where pixels have nothing to do with their neighbours, noise decides.
# The threshold on the right is the correlation that independent pixels would reach by chance. It
# has steps: each time factors are found it is taken anew outside of them, where it is lower; and a
# factor that few pixels make has a higher one of its own.

varying = make_scene(5, variability=0.1, random_state=0)
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.4), layout="constrained")
for ax, title, shape in zip(
    axes, ("Without the image", "With it"), (None, varying.image_shape), strict=True
):
    count = estimate_n_endmembers(varying.data, image_shape=shape)
    EndmemberCountDisplay.from_count(count, ax=ax)
    ax.set_title(f'{title}: "{count.method}"')

# %%
# What goes wrong on real scenes
# ------------------------------
# Indian Pines has 16 kinds of land cover. Far more dimensions stand out of the noise; and so they
# do in the pixels of a single crop. A crop is no spectrum: its plants vary, with the soil between
# them, and so does the light. They do so from field to field, so neighbours are alike in most of
# these dimensions. Besides, the noise need not be independent from band to band, as the methods
# take it to be. They disagree widely, which is a warning by itself.

pines = load_indian_pines()
X, shape = pines.data, pines.image_shape
parts = {"whole scene": None, "one crop": pines.target == 2}
for method in ("spatial", "rmt", "hysime", "hfc", "nwhfc"):
    counts = [
        estimate_n_endmembers(X, method=method, image_shape=shape, mask=mask).n_endmembers
        for mask in parts.values()
    ]
    print(f"{method:<7} whole scene {counts[0]:>3}, one crop {counts[1]:>3}")

figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.4), layout="constrained")
for ax, method in zip(axes, ("rmt", "spatial"), strict=True):
    count = estimate_n_endmembers(X, method=method, image_shape=shape)
    EndmemberCountDisplay.from_count(count, ax=ax, max_components=200)
    ax.set_title(f'Whole scene: "{method}"')

# %%
# What to do there
# ----------------
# Unmix with several numbers, and look. On a part of the scene: how much is left unexplained, and
# how near the two endmembers are that are most alike. The first hardly falls beyond five. The
# second drops where another endmember is a variant of one that is there: after the third it stays
# near .09 rad until the seventh, where it falls to .06. So five or six.

part = X.reshape(*pines.image_shape, -1)[:64, :64]
numbers = np.arange(2, 10)
models, left, nearest = {}, [], []
for k in numbers:
    # Areas alone, so that all are judged by the same constraints; tol=1e-3 to look around.
    model = Unmixer(
        k, wavelengths=pines.wavelengths, abundance_scale="area", tol=1e-3, random_state=0
    ).fit(part)
    models[k] = model
    good = model.band_weights_ > 0
    Y = part.reshape(-1, part.shape[2])[:, good]
    E = model.components_[:, good]
    left.append(np.linalg.norm(Y - model.abundances_ @ E) / np.linalg.norm(Y - Y.mean(axis=0)))
    units = E / np.linalg.norm(E, axis=1)[:, None]
    nearest.append(np.arccos((units @ units.T)[np.triu_indices(k, 1)].max()))

figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.2), layout="constrained")
for ax, values, label in zip(
    axes, (left, nearest), ("Left of the variation", "Angle of the nearest two (rad)"), strict=True
):
    ax.plot(numbers, values, marker="o", markersize=5, markerfacecolor="white")
    ax.set(xlabel="Number of endmembers", ylabel=label, xticks=numbers, ylim=(0, None))
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)

# %%
# Then the maps decide. An endmember that is a field, or a road, is worth having; one that is all
# over the scene, or in a handful of pixels, is not.

AbundanceDisplay.from_estimator(models[6], n_columns=6)
plt.show()
