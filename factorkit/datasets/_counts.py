"""Sparse counts with planted topics."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import Bunch, check_random_state

from factorkit.utils._sklearn import Interval, validate_params

# Parameters of Dirichlet distributions below 1: a word belongs to few topics, a sample has few.
_WORD_CONCENTRATION = 0.1
_SAMPLE_CONCENTRATION = 0.2
# Standard deviation of the logarithm of a sample's expected total.
_LENGTH_SPREAD = 0.5
# Drawn events per entry wanted, before a density is given up as out of reach.
_MAX_ROUNDS = 200


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "density": [Interval(Real, 0, 1, closed="neither")],
        "exponent": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_sparse_counts(
    n_samples, n_features, n_components, density, *, exponent=1.0, random_state=None
):
    """Make sparse counts with planted topics, like those of words in documents.

    N events (words) fall on samples (documents) and features (the vocabulary), independently:

    .. math::

        X \\sim \\mathrm{Multinomial}\\big(N, WH/N\\big), \\qquad
        \\sum_i (WH)_{ij} \\propto (j + 1)^{-s}

    where s is `exponent`: the frequencies of the features follow Zipf's law, the first is the
    most frequent. As many events are drawn as it takes to make `density` of the entries
    positive. X is built from the events, so neither time nor memory depends on
    ``n_samples * n_features``.

    Parameters
    ----------
    n_samples : int
        Number of rows.

    n_features : int
        Number of columns.

    n_components : int
        Number of topics.

    density : float
        Fraction of the entries that are positive, between 0 and 1, to the nearest entry.

    exponent : float, default=1.0
        How unequal the frequencies of the features are; with 0 all are alike.

    random_state : int, RandomState instance or None, default=None
        For the topics and the counts.

    Returns
    -------
    counts : Bunch
        data : csr_array of float64 of shape (n_samples, n_features)
            The counts, X. Rows and columns may be empty.
        W : ndarray of float64 of shape (n_samples, n_components)
            Expected number of events of each topic in each sample.
        H : ndarray of float64 of shape (n_components, n_features)
            The topics: probabilities of the features, that sum to 1 in each row.

    Raises
    ------
    ValueError
        For parameters out of range, and for a density that the events don't reach, as most fall
        on entries that are positive already.

    Notes
    -----
    A feature j has the probabilities q_j ~ Dirichlet(0.1) of the topics, and H is
    p_j q_jk with p Zipf's law, row by row over its sum. A sample's length is log-normal and its
    topics are Dirichlet(0.2), scaled to agree with the totals of the topics.

    Examples
    --------
    >>> from factorkit.datasets import make_sparse_counts
    >>> counts = make_sparse_counts(200, 100, 5, 0.1, random_state=0)
    >>> counts.data.shape, counts.data.nnz
    ((200, 100), 2000)
    """
    rng = check_random_state(random_state)
    popularity = np.arange(1.0, n_features + 1) ** -exponent
    popularity /= popularity.sum()
    # Features x topics: the rows sum to the popularities, whatever the topics.
    joint = rng.dirichlet(np.full(n_components, _WORD_CONCENTRATION), n_features)
    joint *= popularity[:, None]
    topic_share = joint.sum(axis=0)
    H = (joint / topic_share).T
    length = rng.lognormal(0.0, _LENGTH_SPREAD, size=(n_samples, 1))
    W = length * rng.dirichlet(np.full(n_components, _SAMPLE_CONCENTRATION), n_samples)
    W *= topic_share / W.sum(axis=0)
    n_entries = round(density * n_samples * n_features)
    cells, counts = _draw(rng, W, H, max(1, n_entries))
    # As narrow as scikit-learn's own; COO would keep the 64 bits of the cells.
    index_dtype = sparse.get_index_dtype(maxval=max(n_samples, n_features, n_entries))
    rows, columns = (axis.astype(index_dtype) for axis in np.divmod(cells, n_features))
    data = sparse.coo_array((counts, (rows, columns)), shape=(n_samples, n_features)).tocsr()
    return Bunch(data=data, W=W * counts.sum(), H=H)


def _draw(rng, W, H, n_entries):
    """Draw events from W H / sum(W H) until they have fallen on n_entries different cells.

    Returns
    -------
    cells : ndarray of int64 of shape (n_entries,)
        ``row * n_features + column``, sorted.

    counts : ndarray of float64 of shape (n_entries,)
    """
    cells, counts = np.empty(0, dtype=np.int64), np.empty(0)
    for _ in range(_MAX_ROUNDS):
        events = _draw_events(rng, W, H, n_entries)
        drawn, first, hits = np.unique(events, return_index=True, return_counts=True)
        new = np.flatnonzero(~np.isin(drawn, cells, assume_unique=True))
        n_wanted = n_entries - len(cells)
        done = len(new) >= n_wanted
        if done:
            # What follows the event that reached the number was never drawn.
            last = np.partition(first[new], n_wanted - 1)[n_wanted - 1]
            drawn, hits = np.unique(events[: last + 1], return_counts=True)
        cells, place = np.unique(np.concatenate((cells, drawn)), return_inverse=True)
        counts = np.bincount(place, np.concatenate((counts, hits)))
        if done:
            return cells, counts
    raise ValueError(
        f"{_MAX_ROUNDS * n_entries} events fell on {len(cells)} entries of "
        f"{len(W)} x {H.shape[1]}, of which density asks for {n_entries}. Lower density or "
        "exponent, or raise n_components."
    )


def _draw_events(rng, W, H, n_events):
    """Cells of events, independent and in random order."""
    weight = W.sum(axis=0)
    topics = rng.choice(len(H), size=n_events, p=weight / weight.sum())
    cells = np.empty(n_events, dtype=np.int64)
    for topic, (w, h) in enumerate(zip(W.T, H, strict=True)):
        events = np.flatnonzero(topics == topic)
        rows, columns = (_draw_indices(rng, p, len(events)) for p in (w, h))
        cells[events] = rows * np.int64(H.shape[1]) + columns
    return cells


def _draw_indices(rng, weights, size):
    edges = np.cumsum(weights)
    # side="right" never returns an index of weight 0.
    drawn = np.searchsorted(edges, rng.random_sample(size) * edges[-1], side="right")
    # Rounding may make the product edges[-1] itself.
    return np.minimum(drawn, len(weights) - 1)
