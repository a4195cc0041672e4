"""A better start, found on a part of the samples."""

import numpy as np

# Measured on digits, faces and hyperspectral scenes: a sample this large gives components so
# good that one to ten full iterations remain of 15 to 50.
_PART, _ROWS_PER_COMPONENT = 16, 5


def coarse_start(problem, Wt, H):
    """Factorize a part of the samples, then find the other samples' coefficients.

    The components of a matrix with many more samples than components are known well from few
    of them; an iteration on a sixteenth of the samples costs a sixteenth. The longer side of X
    plays the samples. The part is drawn with a fixed seed. The result is kept only where it beats
    the start, so that a warm start is never spoiled.

    Parameters
    ----------
    problem : object
        With `data`, `transposed`, `part`, `alternate`, `fill_W` and `objective`.
    Wt, H : ndarray
        The start.

    Returns
    -------
    Wt, H : ndarray
        A start whose objective is no higher.
    residual : float or None
        That of W, where W was solved for from this H.
    """
    short, long = sorted(problem.data.shape)
    per_feature = problem.coarse_rows_per_feature
    n_rows = max(long // _PART, per_feature * short, _ROWS_PER_COMPONENT * len(H))
    if n_rows > long // 3:
        return Wt, H, None
    n_samples = problem.data.shape[0]
    if n_samples < long:
        H, Wt, _ = coarse_start(problem.transposed(), H, Wt)
        return Wt, H, None
    rows = np.sort(np.random.default_rng(0).permutation(n_samples)[:n_rows])
    # What follows on all samples corrects the rounding. Of sparse data the objective is a
    # difference, which has too few digits to tell whether the result beats the start.
    single = problem.fits_single(Wt, H) and not problem.data.is_sparse
    dtype = np.float32 if single else Wt.dtype
    part_Wt, part_H, _ = problem.part(rows, dtype).alternate(
        [np.ascontiguousarray(Wt[:, rows], dtype=dtype), H.astype(dtype, copy=False)],
        tol=0,
        **problem.coarse_options,
    )
    filled, part_H = Wt.astype(dtype), part_H.astype(dtype, copy=False)
    filled[:, rows] = part_Wt
    filled, residual, objective = problem.fill_W(part_H, filled)
    if objective < problem.objective(Wt, H):
        return filled.astype(Wt.dtype, copy=False), part_H.astype(Wt.dtype, copy=False), residual
    return Wt, H, None
