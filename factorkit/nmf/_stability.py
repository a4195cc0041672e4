"""How alike fits from random starts are."""

from itertools import combinations

import numpy as np

from ..metrics import matched_components


def restart(model, X, rows):
    """Fit a model; return its components and the strongest one in each of some rows.

    Parameters
    ----------
    model : estimator
        It is fitted here.

    X : {ndarray, csr_array} of shape (n_samples, n_features)

    rows : ndarray of int of shape (n_rows,)

    Returns
    -------
    components : ndarray of shape (n_components, n_features)

    clusters : ndarray of int of shape (n_rows,)
        The component that contributes most to the row, whatever the scales of W and H.
    """
    W = np.asarray(model.fit_transform(X))[rows]
    H = model.components_
    return H, np.argmax(W * np.linalg.norm(H, axis=1), axis=1)


def mean_cosine(restarts):
    """Mean cosine of matched components, over all pairs of restarts; 1 if all agree."""
    pairs = combinations([components for components, _ in restarts], 2)
    return float(np.mean([matched_components(A, B)[1].mean() for A, B in pairs]))


def cophenetic_correlation(restarts):
    """Cophenetic correlation of the consensus of the clusters; 1 if all restarts agree.

    The distance of two rows is the number of restarts in which they are in different clusters; the
    correlation is that with the heights at which average linkage joins them.
    """
    from scipy.cluster.hierarchy import cophenet, linkage

    clusters = np.array([clusters for _, clusters in restarts])
    first, second = np.triu_indices(clusters.shape[1], 1)
    apart = np.zeros(len(first))
    for labels in clusters:
        apart += labels[first] != labels[second]
    if not len(apart) or np.ptp(apart) == 0:
        return 1.0  # a single cluster, or each row one of its own, in every restart
    # Equal distances that rounding makes unequal lead SciPy 1.17 to merge a cluster twice.
    apart += 1e-9 * np.random.default_rng(0).random(len(apart))
    return float(cophenet(linkage(apart, "average"), apart)[0])
