"""
Sensors: gaps filled and wrong readings repaired
================================================

Forty sensors, a reading every half hour for three weeks. A fifth of the readings is missing, and
one in twenty is nonsense: spikes, and a sensor that was stuck for a day. Least squares bends to
them; a robust loss does not.
"""

# %%
# The readings
# ------------
# Daily rhythms of different phase and strength, slow weather, a level for each sensor: a matrix of
# low rank with biases. Rows are times, columns sensors.

import matplotlib.pyplot as plt
import numpy as np

from factorkit import AltMinCompletion

rng = np.random.default_rng(0)
hours = np.arange(0, 24 * 21, 0.5)
daily = np.column_stack(
    [np.sin(2 * np.pi * hours / 24), np.cos(2 * np.pi * hours / 24), np.sin(4 * np.pi * hours / 24)]
)
weather = np.cumsum(rng.standard_normal((len(hours), 2)), axis=0) / 12
patterns = np.column_stack([daily, weather])
truth = 18 + patterns @ rng.normal(1.0, 0.8, (5, 40)) + rng.normal(0, 2, 40)
readings = truth + 0.2 * rng.standard_normal(truth.shape)
wrong = rng.random(truth.shape) < 0.05
readings[wrong] += rng.choice([-1, 1], wrong.sum()) * rng.uniform(5, 25, wrong.sum())
stuck = slice(432, 480)
readings[stuck, 7] = readings[431, 7] + 9
wrong[stuck, 7] = True
readings[rng.random(truth.shape) < 0.2] = np.nan

# %%
# Two fits
# --------
# The same model with squares, and with Tukey's loss, which takes all weight from gross errors.

fits, models = {}, {}
for loss in ("squared", "tukey"):
    models[loss] = AltMinCompletion(5, alpha=1e-3, loss=loss, random_state=0)
    fits[loss] = models[loss].inverse_transform(models[loss].fit_transform(readings))
    error = np.sqrt(np.mean((fits[loss] - truth) ** 2))
    print(f"{loss}: RMSE to the truth {error:.3f} degrees")

# %%
# The weights that are left tell which readings are wrong.

robust = models["tukey"]
observed = ~np.isnan(readings)
flagged = np.zeros_like(observed)
flagged[observed] = robust.weights_ == 0
found = np.mean(flagged[wrong & observed])
false = np.mean(flagged[~wrong & observed])
print(f"flagged: {found:.1%} of the wrong readings, {false:.2%} of the right ones")
print(f"noise of a sensor: {robust.scale_:.2f} degrees")

# %%
# The sensor that was stuck
# -------------------------

days = hours / 24
part = slice(336, 624)
figure, panels = plt.subplots(2, 1, figsize=(8, 5.6), sharex=True, layout="constrained")
for axes, loss, title in zip(
    panels, ("squared", "tukey"), ("Least squares", "Tukey's loss"), strict=True
):
    axes.plot(days[part], readings[part, 7], ".", ms=4, color="0.65", label="readings")
    if loss == "tukey":
        bad = part.start + np.flatnonzero(flagged[part, 7])
        axes.plot(days[bad], readings[bad, 7], "x", ms=5, color="tab:red", label="flagged")
    axes.plot(days[part], truth[part, 7], color="black", lw=1, label="truth")
    axes.plot(days[part], fits[loss][part, 7], color="tab:blue", lw=1.5, label="fit")
    axes.set(title=title, ylabel="Degrees", ylim=(truth[:, 7].min() - 6, truth[:, 7].max() + 12))
    axes.spines[["top", "right"]].set_visible(False)
panels[1].set_xlabel("Day")
handles = {}
for axes in panels:
    handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
figure.legend(handles.values(), handles.keys(), loc="outside right upper", frameon=False)
plt.show()
