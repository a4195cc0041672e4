"""What the displays share: matplotlib at first use, and axes for several panels."""

import numpy as np


def pyplot(display):
    """Import matplotlib's pyplot, or say in the name of a display class what is missing."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{type(display).__name__}.plot draws with matplotlib, which is not installed: "
            "pip install 'factorkit[plot]'."
        ) from error
    return plt


def make_panels(display, ax, n_panels, *, n_columns=1, panel_size=(6.0, 4.0), **grid):
    """Return axes for the panels of a display, in reading order.

    Parameters
    ----------
    display : object
        Whose panels they are.

    ax : Axes, array-like of n_panels Axes, or None
        One for each panel; or one whose place they share; or a new figure.

    n_panels : int

    n_columns : int, default=1
        Where the panels are made here.

    panel_size : tuple of float, default=(6.0, 4.0)
        Width and height of each in a new figure, in inches.

    **grid
        ``sharex``, ``sharey``, ``height_ratios``.

    Returns
    -------
    axes : ndarray of Axes of shape (n_panels,)
    """
    plt = pyplot(display)
    given = [] if ax is None else list(np.ravel(ax))
    if n_panels == len(given):
        return np.array(given)
    if len(given) > 1:
        raise ValueError(f"ax has {len(given)} axes; the display has {n_panels} panels.")
    n_rows = -(-n_panels // n_columns)
    if not given:
        size = (panel_size[0] * n_columns, panel_size[1] * n_rows)
        figure = plt.figure(figsize=size, layout="constrained")
        spec = figure.add_gridspec(n_rows, n_columns, height_ratios=grid.pop("height_ratios", None))
    else:
        (outer,) = given
        place = outer.get_subplotspec()
        if place is None:
            raise ValueError(
                f"The display has {n_panels} panels: pass as many axes, or one made by "
                "plt.subplots, whose place they can share."
            )
        outer.set_axis_off()
        spec = place.subgridspec(n_rows, n_columns, height_ratios=grid.pop("height_ratios", None))
    axes = spec.subplots(squeeze=False, **grid).ravel()
    for spare in axes[n_panels:]:
        spare.remove()
    for panel in lowest_panels(axes[:n_panels]):
        # A shared axis has its labels in the last row only, where a column may have no panel.
        panel.tick_params(labelbottom=True)
    return axes[:n_panels]


def lowest_panels(axes):
    """Return the last panel of each column; all of those that are in no grid."""
    last = {}
    for panel in axes:
        place = panel.get_subplotspec()
        last[panel if place is None else place.colspan.start] = panel
    return list(last.values())
