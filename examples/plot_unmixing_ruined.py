"""
Unmixing a scene with ruined bands
==================================

A scene of four materials is unmixed twice: as it should be, and with a fifth of its bands ruined.
The usual way, endmembers by VCA and abundances under constraints (FCLS), is lost in the second;
``Unmixer`` finds the ruined bands first and leaves them out.
"""

# %%
# The scenes
# ----------
# 64 × 64 pixels, 150 bands, noise of 30 dB; spectra and abundances are known. In a push-broom
# sensor each column of the image has a detector of its own, so an offset of the detectors shows as
# stripes. Both scenes are the same but for that.

import matplotlib.pyplot as plt
import numpy as np

from factorkit import VCA, Unmixer
from factorkit.datasets import make_scene
from factorkit.metrics import abundance_rmse, matched_components
from factorkit.plotting import AbundanceDisplay, EndmemberDisplay

clean = make_scene(4, random_state=0)
striped = make_scene(4, ruined_bands=0.2, ruin="stripes", random_state=0)
shape, wavelengths = clean.image_shape, clean.wavelengths

bands = np.flatnonzero(striped.ruined_bands)[[3, 12, 20]]
figure, axes = plt.subplots(1, 4, figsize=(9.5, 2.8), layout="constrained")
for ax, band in zip(axes, [bands[0] - 1, *bands], strict=True):
    ax.imshow(striped.data[:, band].reshape(shape), cmap="gray")
    state = "ruined" if striped.ruined_bands[band] else "good"
    ax.set(xticks=[], yticks=[], title=f"{wavelengths[band]:.0f} nm: {state}")

# %%
# Two ways
# --------
# ``Unmixer`` is told the shape of the image, so that it may average neighbours, and the
# wavelengths, for the pictures and for filling in. Both are told the number of materials.


def usual(scene):
    return VCA(4, image_shape=shape, wavelengths=wavelengths, random_state=0).fit(scene.data)


def ours(scene):
    return Unmixer(4, image_shape=shape, wavelengths=wavelengths, random_state=0).fit(scene.data)


def judge(scene, model):
    """Mean spectral angle over all bands, RMSE of the abundances, and who is who."""
    order, angles = matched_components(scene.endmembers, model.components_, metric="spectral_angle")
    error = abundance_rmse(scene.abundances, model.abundances_, permutation=order)
    return angles.mean(), error, order


print("                     VCA + FCLS       Unmixer")
print("                     angle   RMSE     angle   RMSE")
for kind in [None, "noise", "impulse", "dead", "ramp", "stripes", "saturation"]:
    scene = clean if kind is None else make_scene(4, ruined_bands=0.2, ruin=kind, random_state=0)
    (a, b, _), (c, d, _) = judge(scene, usual(scene)), judge(scene, ours(scene))
    print(f"{kind or 'nothing ruined':<20} {a:.3f}   {b:.3f}    {c:.3f}   {d:.3f}")

# %%
# Ruined bands are all the same to ``Unmixer``, whatever ruined them: they are flagged, and what is
# left is the same scene. The weights tell which ones they are.

model = ours(striped)
missed = (model.band_weights_ == 1) & striped.ruined_bands
in_vain = (model.band_weights_ == 0) & ~striped.ruined_bands
print(f"{missed.sum()} ruined bands missed, {in_vain.sum()} good ones flagged")

# %%
# Maps
# ----
# Each row has the materials in the order of the truth.


def maps_of(scene, model):
    return model.abundance_maps()[:, :, judge(scene, model)[2]]


rows = {
    "truth": clean.abundances.reshape(*shape, 4),
    "VCA, clean": maps_of(clean, usual(clean)),
    "VCA, stripes": maps_of(striped, usual(striped)),
    "Unmixer, stripes": maps_of(striped, model),
}
names = [f"{row}: {material}" for row in rows for material in "ABCD"]
stacked = np.concatenate(list(rows.values()), axis=2)
AbundanceDisplay(stacked, names=names).plot(n_columns=4)

# %%
# Spectra
# -------
# Dashed: the true ones. In flagged bands, which are shaded, ``Unmixer`` interpolates; VCA takes
# pixels as they are, with their noise and with whatever is in the ruined bands.

EndmemberDisplay.from_estimator(
    model, references=striped.endmembers, reference_names=list("ABCD"), n_columns=2
).figure_.suptitle("Unmixer")
vca = usual(striped)
EndmemberDisplay.from_estimator(
    vca, references=striped.endmembers, reference_names=list("ABCD"), n_columns=2
).figure_.suptitle("VCA")
plt.show()
