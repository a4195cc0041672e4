"""Accuracy on generated scenes: what each method finds in clean and in ruined ones."""

import os
from contextlib import contextmanager

import numpy as np

from factorkit import VCA, Unmixer, estimate_n_endmembers
from factorkit.datasets import make_scene
from factorkit.metrics import abundance_rmse, matched_components

KINDS = {
    "smooth": {"abundances": "smooth"},
    "dirichlet": {"abundances": "dirichlet"},
    "variable": {"abundances": "smooth", "variability": 0.1},
}
_BANDS = {"ruined_bands": 0.2}
COUNTERS = ("auto", "spatial", "rmt", "hysime", "hfc", "nwhfc")
RUINED = {
    "clean": {},
    "noise": _BANDS,
    "impulse": _BANDS | {"ruin": "impulse"},
    "dead": _BANDS | {"ruin": "dead"},
    "ramp": _BANDS | {"ruin": "ramp"},
    "stripes": _BANDS | {"ruin": "stripes"},
    "saturation": _BANDS | {"ruin": "saturation"},
    "pixels": {"outlying_pixels": 0.05},
    "noise and pixels": _BANDS | {"outlying_pixels": 0.05},
}


def accuracy(kinds, ruins, levels, purities, n_seeds, k):
    """A row for each kind of scene, ruin, noise level and purity; medians over the seeds."""
    for kind in kinds:
        for purity in purities:
            for snr in levels:
                for ruin in ruins:
                    yield _accuracy(kind, ruin, snr, purity, n_seeds, k)


def _accuracy(kind, ruin, snr, purity, n_seeds, k):
    found = {}
    for seed in range(n_seeds):
        scene = make_scene(
            k, snr=snr, max_abundance=purity, random_state=seed, **KINDS[kind], **RUINED[ruin]
        )
        for name, unmix in METHODS.items():
            try:
                found.setdefault(name, []).append(_judge(scene, *unmix(scene, k)))
            except ImportError:
                continue
    row = {"scene": kind, "ruin": ruin, "SNR": snr, "purity": purity, "k": k}
    for name, errors in found.items():
        angle, rmse = np.median(errors, axis=0)
        row[name] = f"{angle:.4f} / {rmse:.3f}"
    return row


def _judge(scene, E, A):
    permutation, angles = matched_components(scene.endmembers, E, metric="spectral_angle")
    good = ~scene.outlying_pixels
    return angles.mean(), abundance_rmse(scene.abundances[good], A[good], permutation=permutation)


def counting(levels, n_seeds):
    """Hit rates of the counters on clean scenes of 3 to 10 endmembers."""
    for snr in levels:
        for kind in KINDS:
            hits = {}
            for k in (3, 4, 5, 6, 8, 10):
                for seed in range(n_seeds):
                    scene = make_scene(k, snr=snr, random_state=seed, **KINDS[kind])
                    for method in COUNTERS:
                        count = estimate_n_endmembers(
                            scene.data, method=method, image_shape=scene.image_shape
                        )
                        hits.setdefault(method, []).append(count.n_endmembers == k)
            shares = {method: f"{np.mean(hit):.2f}" for method, hit in hits.items()}
            yield {"scene": kind, "SNR": snr} | shares


def _unmixer(scene, k):
    model = Unmixer(k, image_shape=scene.image_shape, random_state=0)
    return _fitted(model, scene)


def _without_image(scene, k):
    return _fitted(Unmixer(k, random_state=0), scene)


def _vca(scene, k):
    return _fitted(VCA(k, n_init=1, random_state=0), scene)


def _fitted(model, scene):
    A = model.fit_transform(scene.data)
    return model.components_, A


def _nmf(scene, k):
    from sklearn.decomposition import NMF

    model = NMF(k, init="nndsvda", max_iter=500, random_state=0)
    W = model.fit_transform(np.maximum(scene.data, 0))
    return model.components_, W / np.maximum(W.sum(axis=1, keepdims=True), 1e-12)


def spams_archetypes(X, start, n_steps=50):
    """SPAMS's archetypal analysis, from pixels, with what it prints kept away."""
    import spams

    columns = np.asfortranarray(X.T)
    with quiet():
        Z, A, _ = spams.archetypalAnalysis(
            columns, p=len(start), Z0=np.asfortranarray(X[start].T), returnAB=True,
            stepsFISTA=3, stepsAS=n_steps, numThreads=1,
        )  # fmt: skip
    return Z.T, np.asarray(A.todense() if hasattr(A, "todense") else A).T


def _spams(scene, k):
    start = VCA(k, n_init=1, random_state=0).fit(scene.data).endmember_pixels_
    # Its objective changes by less than a thousandth after that.
    return spams_archetypes(scene.data, start, n_steps=15)


@contextmanager
def quiet():
    """Nothing on standard output, of compiled code too."""
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


METHODS = {
    "Unmixer": _unmixer,
    "Unmixer, no image": _without_image,
    "VCA + FCLS": _vca,
    "NMF of scikit-learn": _nmf,
    "archetypes of SPAMS": _spams,
}
