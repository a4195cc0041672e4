"""What is lost with ruined bands, and what an oracle that is told them loses."""

import numpy as np

from factorkit import Unmixer, estimate_abundances
from factorkit.datasets import make_scene
from factorkit.metrics import abundance_rmse, matched_components

from .unmixing_scenes import KINDS, RUINED


def losses(kinds, ruins, levels, n_seeds, k):
    """A row for each kind of scene, ruin and noise level; medians over the seeds.

    "told" is the clean scene with the bands that the ruin takes set to NaN, which no method that
    is not told can beat but by what it gets out of ruined bands; "abundances" are those of the true
    endmembers, in the bands that are left over those in all bands.
    """
    for kind in kinds:
        for snr in levels:
            for ruin in ruins:
                if "ruined_bands" in RUINED[ruin] and "outlying_pixels" not in RUINED[ruin]:
                    yield _losses(kind, ruin, snr, n_seeds, k)


def _losses(kind, ruin, snr, n_seeds, k):
    errors = []
    for seed in range(n_seeds):
        options = {"snr": snr, "random_state": seed} | KINDS[kind]
        clean, ruined = make_scene(k, **options), make_scene(k, **options, **RUINED[ruin])
        gaps = np.where(ruined.ruined_bands, np.nan, clean.data)
        errors.append(
            [
                *_errors(clean, clean.data),
                *_errors(clean, ruined.data),
                *_errors(clean, gaps),
                _of_truth(clean, clean.data),
                _of_truth(clean, gaps),
            ]
        )
    angle, rmse, ruined_angle, ruined_rmse, told_angle, told_rmse, true, true_left = np.median(
        errors, axis=0
    )
    return {
        "scene": kind,
        "ruin": ruin,
        "SNR": snr,
        "k": k,
        "clean": f"{angle:.4f} / {rmse:.4f}",
        "ruined over clean": f"{ruined_angle / angle:.2f} / {ruined_rmse / rmse:.2f}",
        "told over clean": f"{told_angle / angle:.2f} / {told_rmse / rmse:.2f}",
        "abundances": f"{true_left / true:.2f}",
    }


def _errors(scene, X):
    model = Unmixer(len(scene.endmembers), image_shape=scene.image_shape, random_state=0)
    A = model.fit_transform(X)
    order, angles = matched_components(scene.endmembers, model.components_, metric="spectral_angle")
    return angles.mean(), abundance_rmse(scene.abundances, A, permutation=order)


def _of_truth(scene, X):
    return abundance_rmse(scene.abundances, estimate_abundances(X, scene.endmembers))
