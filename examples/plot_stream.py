"""
Streams, and data on disk
=========================

``MiniBatchNMF`` learns from one block of rows at a time. It follows a stream whose components
change, and it fits a file that is larger than the memory.
"""

# %%
# A stream that changes
# ---------------------
# Every block holds 500 mixtures of five spectra. After a third of the stream two of the five are
# replaced by others.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from factorkit import MiniBatchNMF
from factorkit.metrics import matched_components
from factorkit.plotting import ComponentsDisplay

rng = np.random.default_rng(0)
x = np.linspace(0, 1, 80)


def peaks(centers):
    return np.exp(-(((x - np.array(centers)[:, None]) / 0.06) ** 2))


before = peaks([0.1, 0.3, 0.5, 0.7, 0.9])
after = peaks([0.1, 0.3, 0.4, 0.8, 0.9])
n_blocks, change = 90, 30


def block(step):
    truth = before if step < change else after
    W = rng.dirichlet(np.full(5, 0.5), size=500)
    return (W @ truth + 0.02 * rng.standard_normal((500, len(x)))).clip(0), truth


# %%
# Forget, or remember
# -------------------
# ``forget_factor`` is what is left of the earlier blocks after each new one. With 1 nothing is
# forgotten, and the old spectra stay in the average for ever.

factors = [1.0, 0.95, 0.7]
models = [MiniBatchNMF(5, forget_factor=factor, random_state=0) for factor in factors]
likeness = np.empty((len(models), n_blocks))
for step in range(n_blocks):
    rows, truth = block(step)
    for i, model in enumerate(models):
        model.partial_fit(rows)
        likeness[i, step] = matched_components(truth, model.components_)[1].min()

figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for factor, curve in zip(factors, likeness, strict=True):
    ax.plot(np.arange(1, n_blocks + 1), curve, label=f"forget_factor={factor}", linewidth=1.8)
ax.axvline(change + 0.5, color="0.5", linestyle="--", linewidth=1)
ax.text(
    *(change - 0.5, 0.05, "two spectra change"),
    color="0.4",
    horizontalalignment="right",
    transform=ax.get_xaxis_transform(),
)
ax.set(xlabel="Block", ylabel="Cosine to the truth, worst of 5", ylim=(None, 1.01))
ax.grid(alpha=0.25)
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, loc="center left")

# %%
# A file on disk
# --------------
# ``fit`` takes a :class:`numpy.memmap` as it is and reads ``batch_size`` rows at a time: the memory
# does not depend on the number of rows.

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "spectra.dat"
    shape = (200_000, len(x))
    on_disk = np.memmap(path, dtype=np.float32, mode="w+", shape=shape)
    for start in range(0, len(on_disk), 500):
        on_disk[start : start + 500] = block(n_blocks)[0]
    on_disk.flush()
    print(f"{path.stat().st_size / 1e6:.0f} MB on disk")
    model = MiniBatchNMF(5, batch_size=2000, max_iter=3, random_state=0).fit(on_disk)
    print(f"{model.n_steps_} blocks, {model.score(on_disk[:10_000]):.1%} explained")
    del on_disk

order, _ = matched_components(after, model.components_)
ComponentsDisplay(model.components_[order], x=x).plot(n_columns=5)
plt.show()
