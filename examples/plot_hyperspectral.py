"""
Materials in a hyperspectral image with ruined entries
======================================================

A pixel of a hyperspectral image is a mixture of a few materials, each with its spectrum: X ≈ W H
with the spectra in H and the abundances in W. Sensors fail, so some entries are missing; NMF takes
them as they come and fills them in.
"""

# %%
# The scene, ruined
# -----------------
# Indian Pines: 145 × 145 pixels, 200 bands. A fifth of the entries are lost at random. Besides, in
# half of the bands some columns of the detector are dead, as happens in push-broom sensors.

import matplotlib.pyplot as plt
import numpy as np

from factorkit import NMF
from factorkit.datasets import load_indian_pines
from factorkit.plotting import ComponentsDisplay

scene = load_indian_pines()
X, shape = scene.data, scene.image_shape
rng = np.random.default_rng(0)
lost = rng.random((*shape, X.shape[1])) < 0.2
for band in range(0, X.shape[1], 2):
    lost[:, rng.choice(shape[1], 25, replace=False), band] = True
lost = lost.reshape(X.shape)
X_ruined = np.where(lost, np.nan, X)
print(f"{lost.mean():.0%} of {X.size / 1e6:.1f} million entries are missing")

# %%
# Fit
# ---

nmf = NMF(n_components=6, tol=1e-4, max_iter=500, random_state=0)
W = nmf.fit_transform(X_ruined)
X_filled = np.where(lost, nmf.inverse_transform(W), X)
relative = np.linalg.norm((X_filled - X)[lost]) / np.linalg.norm(X[lost])
print(f"{nmf.n_iter_} iterations; relative error of the {lost.sum()} filled entries {relative:.1%}")

# %%
# One band: what the sensor gives, what the fit makes of it, and what was there.

band = 40
images = [("with lost entries", X_ruined), ("filled", X_filled), ("true", X)]
low, high = np.percentile(X[:, band], [1, 99])
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.5), layout="constrained")
for ax, (title, data) in zip(axes, images, strict=True):
    ax.imshow(data[:, band].reshape(shape), cmap="gray", vmin=low, vmax=high)
    ax.set(xticks=[], yticks=[], title=title)
    ax.set_facecolor("tab:orange")
axes[0].set_ylabel(f"{scene.wavelengths[band]:.0f} nm")

# %%
# Spectra and abundances
# ----------------------
# The scale of a component is free, so each spectrum is divided by its maximum here and the map
# takes the factor. The gaps near 1400 and 1900 nm are bands that water vapour absorbs.

scale = nmf.components_.max(axis=1)
names = [f"Component {i}" for i in range(len(scale))]
spectra = ComponentsDisplay(nmf.components_ / scale[:, None], x=scene.wavelengths, names=names)
spectra.plot(n_columns=3, x_name="Wavelength (nm)")

maps = ComponentsDisplay((W * scale).T, image_shape=shape, names=names)
maps.plot(n_columns=6, panel_kw={"cmap": "viridis"})
plt.show()
