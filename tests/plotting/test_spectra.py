"""Endmembers are curves over the wavelength, beside the references that are theirs."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from factorkit.metrics import spectral_angle
from factorkit.plotting import EndmemberDisplay
from factorkit.plotting._bands import BandAxis
from tests.plotting._stand_in import StandIn

# Two runs of bands, 10 nm apart, with a gap of 80 nm.
WAVELENGTHS = np.r_[np.arange(400.0, 460, 10), np.arange(530.0, 570, 10)]


@pytest.fixture
def endmembers():
    return np.random.default_rng(0).uniform(0.1, 1, size=(3, 10))


def drawn(line):
    """Points of a line that are there."""
    x, y = line.get_data()
    return x[~np.isnan(y)], y[~np.isnan(y)]


def test_without_wavelengths_the_bands_are_counted(endmembers):
    display = EndmemberDisplay(endmembers).plot()
    for line, spectrum in zip(display.lines_, endmembers, strict=True):
        assert_array_equal(line.get_xdata(), np.arange(10))
        assert_array_equal(line.get_ydata(), spectrum)
    assert display.axes_[-1].get_xlabel() == "Band"
    assert display.axes_[0].get_legend() is None and not display.axes_[0].patches


def test_curves_run_along_the_wavelength_and_break_at_gaps(endmembers):
    order = np.random.default_rng(1).permutation(10)
    display = EndmemberDisplay(endmembers[:, order], wavelengths=WAVELENGTHS[order]).plot()
    for line, spectrum in zip(display.lines_, endmembers, strict=True):
        assert_array_equal(np.flatnonzero(np.isnan(line.get_ydata())), [6])
        assert_array_equal(drawn(line), [WAVELENGTHS, spectrum])
    assert display.axes_[-1].get_xlabel() == "Wavelength (nm)"


@pytest.mark.parametrize(
    "wavelengths",
    [
        # Sentinel-2: no two distances are alike, and a band by itself would not be seen.
        [443, 490, 560, 665, 705, 740, 783, 842, 865, 945, 1375, 1610, 2190],
        # Two spectrometers that overlap, and whose bands grow wider.
        [400, 405, 410, 415, 416, 420, 426, 436, 446, 458, 470],
        # A band by itself at either end.
        [400, 500, 510, 520, 530, 630],
        [400, 500],
        [400],
    ],
)
def test_bands_that_lie_unevenly_make_no_gaps(wavelengths):
    display = EndmemberDisplay(np.ones((1, len(wavelengths))), wavelengths=wavelengths).plot()
    assert_array_equal(display.lines_[0].get_xdata(), wavelengths)


def test_ruined_bands_are_shaded_halfway_to_their_neighbours():
    ruined = np.zeros(10, dtype=bool)
    ruined[[0, 3, 4, 5, 6, 9]] = True
    axis = BandAxis(10, WAVELENGTHS, np.where(ruined, 0.49, 0.5))
    assert_array_equal(axis.kept, ~ruined)
    # On each side of the gap no farther than on the other side of the band.
    assert_allclose(axis.ruined_spans(), [(395, 405), (425, 455), (525, 535), (555, 565)])
    order = np.random.default_rng(0).permutation(10)
    mixed = BandAxis(10, WAVELENGTHS[order], np.where(ruined, 0, 1)[order])
    assert_allclose(mixed.ruined_spans(), axis.ruined_spans())
    assert BandAxis(10, WAVELENGTHS, np.ones(10)).ruined_spans() == []
    assert_allclose(BandAxis(1, None, [0]).ruined_spans(), [(-0.5, 0.5)])


def test_ruined_bands_are_faint_and_do_not_set_the_scale(endmembers):
    weights = np.ones(10)
    weights[[2, 7]] = 0, 0.1
    endmembers[:, [2, 7]] = 1000, -1000
    display = EndmemberDisplay(endmembers, wavelengths=WAVELENGTHS, band_weights=weights).plot()
    for panel, line, spectrum in zip(display.axes_, display.lines_, endmembers, strict=True):
        assert_array_equal(drawn(line)[1], spectrum[weights == 1])
        faint = panel.lines[0]
        assert_array_equal(drawn(faint)[1], spectrum)
        assert faint.get_linewidth() < line.get_linewidth() / 2
        assert faint.get_color() == line.get_color()
        assert panel.get_ylim()[0] == 0 and 0.5 < panel.get_ylim()[1] < 1.2
        assert len(panel.patches) == 2
    labels = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert labels == ["ruined bands"]


@pytest.mark.parametrize("n_references", [2, 3, 5])
def test_references_are_matched_and_scaled_to_their_endmembers(endmembers, n_references):
    rng = np.random.default_rng(2)
    noisy = endmembers + 0.02 * rng.normal(size=endmembers.shape)
    references = np.vstack((noisy[[2, 0, 1]], rng.uniform(0.1, 1, (2, 10))))[:n_references]
    references *= rng.uniform(0.01, 100, size=(n_references, 1))
    display = EndmemberDisplay(endmembers, references=references).plot()
    expected = [1, 2, 0] if n_references > 2 else [1, -1, 0]
    assert_array_equal(display.permutation_, expected)
    for i, j in enumerate(expected):
        panel = display.axes_[i]
        if j < 0:
            assert len(panel.lines) == 1 and panel.get_title() == f"Endmember {i}"
            continue
        reference = next(line for line in panel.lines if line is not display.lines_[i])
        _, y = drawn(reference)
        # The nearest multiple: what is left is at right angles to it.
        assert spectral_angle(y, references[j]) < 1e-12
        assert abs((endmembers[i] - y) @ y) < 1e-12
        angle = spectral_angle(endmembers[i], references[j])
        assert display.angles_[i] == pytest.approx(angle)
        assert panel.get_title() == f"Endmember {i} ({angle:.3f} rad)"


def test_ruined_bands_play_no_part_in_angles_and_scales(endmembers):
    weights = np.r_[0, np.ones(9)]
    references = 3 * endmembers[[1, 2, 0]]
    references[:, 0] = [500, 1, 70]
    display = EndmemberDisplay(endmembers, references=references, band_weights=weights).plot()
    assert_array_equal(display.permutation_, [2, 0, 1])
    assert_allclose(display.angles_, 0, atol=1e-12)
    for panel, spectrum in zip(display.axes_, endmembers, strict=True):
        reference = next(line for line in panel.lines if line.get_linestyle() == "--")
        assert_allclose(reference.get_ydata()[1:], spectrum[1:], rtol=1e-12)
    with pytest.raises(ValueError, match="All bands are ruined"):
        EndmemberDisplay(endmembers, references=references, band_weights=np.zeros(10))


def test_titles_name_endmembers_and_their_references(endmembers):
    display = EndmemberDisplay(
        endmembers,
        references=endmembers[[1, 0]],
        names=["a", "b", "c"],
        reference_names=["clay", "lime"],
    ).plot()
    titles = [panel.get_title() for panel in display.axes_]
    assert titles == ["a – lime (0.000 rad)", "b – clay (0.000 rad)", "c"]


def test_the_legend_is_where_all_that_it_explains_is(endmembers):
    references = endmembers[[2]]
    display = EndmemberDisplay(
        endmembers, references=references, band_weights=np.r_[0, np.ones(9)]
    ).plot()
    legends = [panel.get_legend() for panel in display.axes_]
    assert legends[0] is legends[1] is None
    assert {text.get_text() for text in legends[2].get_texts()} == {"ruined bands", "reference"}


def test_an_estimator_gives_what_it_has(endmembers):
    fitted = {"wavelengths": WAVELENGTHS, "band_weights": np.r_[0, np.ones(9)]}
    display = EndmemberDisplay.from_estimator(
        StandIn(endmembers, **fitted), line_kw={"linewidth": 3}, n_columns=1
    )
    assert_array_equal(display.endmembers, endmembers)
    assert_array_equal(display.wavelengths, WAVELENGTHS)
    assert_array_equal(display.band_weights, fitted["band_weights"])
    assert display.lines_[0].get_linewidth() == 3
    bare = EndmemberDisplay.from_estimator(StandIn(endmembers, wavelengths=None))
    assert bare.wavelengths is bare.band_weights is bare.angles_ is None
    given = EndmemberDisplay.from_estimator(StandIn(endmembers), wavelengths=WAVELENGTHS)
    assert_array_equal(given.wavelengths, WAVELENGTHS)


def test_spectra_below_zero_are_whole(endmembers):
    display = EndmemberDisplay(endmembers - 0.5).plot()
    for panel, spectrum in zip(display.axes_, endmembers - 0.5, strict=True):
        low, high = panel.get_ylim()
        assert low < spectrum.min() and high > spectrum.max()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"wavelengths": [1.0, 2.0]}, r"wavelengths has shape \(2,\); there are 10 bands"),
        ({"band_weights": np.ones((1, 10))}, r"band_weights has shape \(1, 10\)"),
        ({"references": np.ones((2, 9))}, "references has 9 bands; endmembers has 10"),
        ({"names": ["a"]}, "1 names for 3 endmembers"),
        ({"references": np.ones((2, 10)), "reference_names": ["a"]}, "1 names for 2 references"),
        ({"reference_names": ["a"]}, "without references"),
        ({"wavelengths": [np.nan] * 10}, "wavelengths contains NaN"),
    ],
)
def test_what_does_not_fit_the_endmembers_is_refused(endmembers, options, message):
    with pytest.raises(ValueError, match=message):
        EndmemberDisplay(endmembers, **options)
