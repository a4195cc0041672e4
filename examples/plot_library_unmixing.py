"""
Unmixing with a library of spectra
==================================

Where the materials that may be in a scene have been measured, nothing has to be extracted from it:
each pixel is a mixture of a few spectra of the library. The question is which ones.
"""

# %%
# A library and a scene
# ---------------------
# 200 spectra with narrow absorption bands, as those of minerals; five of them are in the scene, the
# others are decoys. The noise is 25 dB below the scene.

import matplotlib.pyplot as plt
import numpy as np

from factorkit import LibraryUnmixing
from factorkit.datasets import make_scene
from factorkit.metrics import abundance_rmse
from factorkit.plotting import AbundanceDisplay

rng = np.random.default_rng(0)
wavelengths = np.linspace(400, 2500, 180)


def mineral():
    """A sloping reflectance with three to six absorption bands."""
    level = rng.uniform(0.3, 0.8) + rng.uniform(-0.2, 0.2) * (wavelengths - 1450) / 1050
    n = rng.integers(3, 7)
    depth, width = rng.uniform(0.1, 0.5, n), rng.uniform(20, 120, n)
    offset = (wavelengths[:, None] - rng.uniform(400, 2500, n)) / width
    return level * np.prod(1 - depth * np.exp(-0.5 * offset**2), axis=1)


library = np.array([mineral() for _ in range(200)])
present = np.sort(rng.choice(200, 5, replace=False))
scene = make_scene(endmembers=library[present], image_shape=(40, 40), snr=25, random_state=0)
truth = np.zeros((len(scene.data), 200))
truth[:, present] = scene.abundances

units = library / np.linalg.norm(library, axis=1)[:, None]
cosines = units @ units.T - np.eye(200)
figure, ax = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
ax.plot(wavelengths, library[::4].T, color="0.8", linewidth=0.8)
for j in present:
    ax.plot(wavelengths, library[j], linewidth=1.6, label=f"{j}")
ax.set(xlabel="Wavelength (nm)", ylabel="Reflectance", xlim=(400, 2500))
ax.legend(title="In the scene", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
ax.spines[["top", "right"]].set_visible(False)
print(f"median angle to the nearest other: {np.median(np.arccos(cosines.max(axis=1))):.2f} rad")

# %%
# Which spectra?
# --------------
# Nonnegative least squares fits the noise of a pixel by whatever resembles it, by other spectra
# from pixel to pixel, so that nearly all are in use somewhere. The lasso makes each pixel choose
# fewer, but each by itself. The collaborative penalty is on the whole map of a spectrum, so that
# the pixels choose together. More of it is not always better: the last one keeps fewer and nearly
# loses one that is there, as a large penalty makes do with spectra between the true ones.

ways = {
    "Least squares": LibraryUnmixing(library, alpha=0),
    "Lasso": LibraryUnmixing(library, penalty="lasso"),
    "Collaborative": LibraryUnmixing(library),
    "Too much of it": LibraryUnmixing(library, alpha=1e-3),
}
for way, model in ways.items():
    A = model.fit(scene.data).abundances_
    error = abundance_rmse(truth, A)
    print(f"{way:<14} {len(model.active_):>3} spectra in use, RMSE of the abundances {error:.4f}")

# %%
# ``active_`` lists all that have an abundance above zero anywhere. Most have next to nothing;
# sorted by their mean abundance, those that are there (red) stand apart, most clearly with the
# collaborative penalty.

figure, axes = plt.subplots(1, 4, figsize=(10, 2.9), sharey=True, layout="constrained")
for ax, (way, model) in zip(axes, ways.items(), strict=True):
    means = model.abundances_.mean(axis=0)
    order = np.argsort(-means)[:30]
    colours = np.where(np.isin(order, present), "C3", "0.75")
    ax.bar(np.arange(len(order)), means[order], color=colours)
    ax.set(yscale="log", ylim=(1e-4, 1), title=way, xlabel="Spectra, sorted", xticks=[])
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("Mean abundance")

# %%
# Maps without the penalty's bias
# -------------------------------
# A penalty shrinks what it keeps. So fit once more with the spectra above the gap, and without one.

chosen = np.flatnonzero(ways["Collaborative"].abundances_.mean(axis=0) > 0.03)
print("chosen:", chosen.tolist(), " in the scene:", present.tolist())
final = LibraryUnmixing(
    library[chosen], alpha=0, names=[f"{j}" for j in chosen], image_shape=scene.image_shape
).fit(scene.data)
A = np.zeros_like(truth)
A[:, chosen] = final.abundances_
print(f"RMSE of the abundances {abundance_rmse(truth, A):.4f}")

true_maps = scene.abundances.reshape(*scene.image_shape, -1)
names = [f"truth: {j}" for j in present] + [f"found: {j}" for j in final.get_feature_names_out()]
AbundanceDisplay(np.dstack([true_maps, final.abundance_maps()]), names=names).plot(n_columns=5)
plt.show()
