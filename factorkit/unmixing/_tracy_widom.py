"""The law of the largest eigenvalue of a random symmetric matrix.

References
----------
M. Chiani, "Distribution of the Largest Eigenvalue for Real Wishart and Gaussian Random Matrices
and a Simple Approximation for the Tracy-Widom Distribution", Journal of Multivariate Analysis 129,
2014.
"""

from scipy.special import gammainccinv

MEAN, DEVIATION = -1.2065336, 1.2679788


def exceeded_with_probability(alpha):
    """The quantile of the law of Tracy and Widom for real matrices, as a shifted gamma law."""
    return 0.186054 * gammainccinv(46.446, alpha) - 9.84801
