"""The compiled loop of `_collaborative`."""

import numpy as np

from ..utils._jit import kernel


@kernel(reduces=True)
def add_curvature(A, G, total):
    """Add Σ_i (a_i a_iᵀ) ∘ M_i to `total`, M_i the inverse of G on the support of row i of A."""
    n, k = A.shape
    order = np.empty(k, np.intp)
    L = np.empty((k, k))
    V = np.empty((k, k))
    for i in range(n):
        m = 0
        same = True
        for t in range(k):
            if A[i, t] > 0.0:
                same = same and i > 0 and A[i - 1, t] > 0.0
                order[m] = t
                m += 1
            else:
                same = same and i > 0 and not A[i - 1, t] > 0.0
        if not same:
            for p in range(m):
                for q in range(p + 1):
                    s = G[order[p], order[q]]
                    for r in range(q):
                        s -= L[p, r] * L[q, r]
                    L[p, q] = s / L[q, q] if q < p else np.sqrt(max(s, 1e-300))
            for q in range(m):
                for p in range(q, m):
                    s = 1.0 if p == q else 0.0
                    for r in range(q, p):
                        s -= L[p, r] * V[r, q]
                    V[p, q] = s / L[p, p]
        for p in range(m):
            for q in range(p + 1):
                s = 0.0
                for r in range(p, m):
                    s += V[r, p] * V[r, q]
                s *= A[i, order[p]] * A[i, order[q]]
                total[order[p], order[q]] += s
                if q < p:
                    total[order[q], order[p]] += s
