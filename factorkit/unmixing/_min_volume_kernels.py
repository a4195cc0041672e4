"""Compiled loops of `_min_volume`: how well pixels fit facets that are blurred by noise.

A pixel at the signed distance t of a facet, in standard deviations of the noise and positive
inside, costs −log(F(t) + (w/a) F'(t)), where F(t) = 1/(1 + e^{−at}): mass that is spread inside
and mass that lies on the facet, blurred by logistic noise. With e = e^{−at} that is
2 log(1 + e) − log(1 + (1 + w) e).
"""

import numpy as np

from ..utils._jit import kernel

# Beyond these e is nothing to 1, or 1 to e: further in a facet is not felt, further out the cost
# is linear.
_INSIDE, _OUTSIDE = -37.0, 300.0


@kernel(reduces=True)
def facet_costs(Y, facets, w, slope, on_facet):
    """Cost of all pixels; adds to ``on_facet`` how many are expected to lie on each facet.

    ``Y @ facets.T`` are the distances.
    """
    n, k = Y.shape
    value = 0.0
    for i in range(n):
        for j in range(k):
            t = 0.0
            for m in range(k):
                t += facets[j, m] * Y[i, m]
            u = -slope * t
            if u < _INSIDE:
                continue
            e = np.exp(min(u, _OUTSIDE))
            value += 2 * np.log(1 + e) - np.log(1 + (1 + w[j]) * e) + max(u - _OUTSIDE, 0.0)
            on_facet[j] += w[j] * e / (1 + (1 + w[j]) * e)
    return value


@kernel(reduces=True)
def facet_moments(Y, facets, w, slope, first, second):
    """Adds Σ c′ y of each facet to ``first`` and Σ c″ y yᵀ to ``second``, below the diagonal.

    c′ and c″ are the derivatives of the cost in the distance.
    """
    n, k = Y.shape
    for i in range(n):
        for j in range(k):
            t = 0.0
            for m in range(k):
                t += facets[j, m] * Y[i, m]
            u = -slope * t
            if u < _INSIDE:
                continue
            e = np.exp(min(u, _OUTSIDE))
            # Probabilities under noise alone, and with the mass on the facet.
            p = e / (1 + e)
            q = (1 + w[j]) * e / (1 + (1 + w[j]) * e)
            d1 = slope * (q - 2 * p)
            d2 = slope * slope * (2 * p * (1 - p) - q * (1 - q))
            for m in range(k):
                first[j, m] += d1 * Y[i, m]
                scaled = d2 * Y[i, m]
                for o in range(m + 1):
                    second[j, m, o] += scaled * Y[i, o]
