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
        ``sharex``, ``sharey``, ``width_ratios``, ``height_ratios``.

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
    ratios = {name: grid.pop(name, None) for name in ("width_ratios", "height_ratios")}
    if not given:
        size = (panel_size[0] * n_columns, panel_size[1] * n_rows)
        figure = plt.figure(figsize=size, layout="constrained")
        spec = figure.add_gridspec(n_rows, n_columns, **ratios)
    else:
        (outer,) = given
        place = outer.get_subplotspec()
        if place is None:
            raise ValueError(
                f"The display has {n_panels} panels: pass as many axes, or one made by "
                "plt.subplots, whose place they can share."
            )
        outer.set_axis_off()
        spec = place.subgridspec(n_rows, n_columns, **ratios)
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


def count_columns(ax, n_panels, most, panel_size):
    """Return how many panels make a row, where there is a choice.

    Parameters
    ----------
    ax : Axes, array-like of Axes, or None
        See :func:`make_panels`.

    n_panels : int

    most : int
        Panels that fit beside each other in a figure of their own.

    panel_size : tuple of float
        Width and height that a panel should have.
    """
    if hasattr(ax, "get_window_extent"):
        # As many as leave the panels the shape that they have in a figure of their own.
        place = ax.get_window_extent()
        shape = place.width / place.height * panel_size[1] / panel_size[0]
        most = max(1, round(np.sqrt(n_panels * shape)))
    # Rows as even as they can be.
    return -(-n_panels // -(-n_panels // most))


def check_names(names, n_components, name="names", things="components"):
    """Return the names as a list, or None."""
    if names is None:
        return None
    names = list(names)
    if len(names) != n_components:
        raise ValueError(f"{name} has {len(names)} names for {n_components} {things}.")
    return names


def image_panel(height, width):
    """Return a panel's size for an image of that many pixels, and how many fit beside each other.

    Panels of about 4 square inches, but no strip so long that it leaves the page.
    """
    size = 2.0 * np.sqrt(np.array([width / height, height / width]))
    size *= min(1.0, 6.0 / size.max())
    # A title needs its width, whatever the image.
    panel_size = (max(size[0], 0.9) + 0.1, size[1] + 0.3)
    return panel_size, max(1, int(11 / panel_size[0]))


def add_colour_bar(image, values, axes, label=""):
    """Add one colour bar beside the axes; it is pointed where values are beyond its ends."""
    low, high = image.get_clim()
    beyond = 1e-6 * (high - low)
    below = np.nanmin(values, initial=low) < low - beyond
    above = np.nanmax(values, initial=high) > high + beyond
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}
    extend = extend.get((below, above), "neither")
    return axes[0].figure.colorbar(
        image, ax=list(axes), label=label, extend=extend, pad=0.02, aspect=25
    )
