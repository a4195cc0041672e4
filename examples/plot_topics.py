"""
Topics from sparse counts
=========================

Counts of words call for the Kullback-Leibler loss. NMF with that loss is a step of a pipeline like
any other, and ``GridSearchCV`` tunes it for what comes after it.

The documents are the docstrings of SciPy and scikit-learn: real prose, and every machine that runs
this has it. The task is to tell from a docstring alone which subpackage it comes from.
"""

# %%
# Documents
# ---------

import inspect
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from factorkit import NMF
from factorkit.plotting import ComponentsDisplay

subpackages = [
    *("scipy.cluster.hierarchy", "scipy.integrate", "scipy.interpolate", "scipy.linalg"),
    *("scipy.ndimage", "scipy.optimize", "scipy.signal", "scipy.sparse", "scipy.stats"),
    *("sklearn.cluster", "sklearn.ensemble", "sklearn.linear_model", "sklearn.metrics"),
]
texts, homes = [], []
for name in subpackages:
    module = import_module(name)
    for public in sorted(module.__all__):
        # The first lines: the summary and the parameters; examples would give the name away.
        text = (inspect.getdoc(getattr(module, public)) or "").partition("\nExamples\n")[0]
        if len(text) > 300 and "eprecated" not in text[:200]:
            texts.append(text)
            homes.append(name)
print(f"{len(texts)} docstrings")

# %%
# A pipeline
# ----------
# The counts stay sparse: 98 % of them are zeros, and NMF never forms W H. The number of topics is
# searched for like any parameter. (It is chosen for the classifier here. How many topics the counts
# themselves hold is another question, see
# :ref:`sphx_glr_auto_examples_plot_rank_by_entries.py`.)

pipeline = Pipeline(
    [
        (
            "count",
            CountVectorizer(stop_words="english", min_df=8, max_df=0.4, token_pattern=r"[a-z]{3,}"),
        ),
        ("topics", NMF(beta_loss="kullback-leibler", max_iter=500, random_state=0)),
        ("share", Normalizer("l1")),
        ("root", FunctionTransformer(np.sqrt)),
        ("classify", LogisticRegression(C=30, max_iter=2000)),
    ]
)
search = GridSearchCV(
    pipeline,
    {"topics__n_components": [4, 8, 16, 24, 32]},
    cv=StratifiedKFold(4, shuffle=True, random_state=0),
)
search.fit(texts, homes)
best = search.best_params_["topics__n_components"]
print(f"{best} topics: {search.best_score_:.0%} of the held-out docstrings go to the right one")

figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
n_topics = search.cv_results_["param_topics__n_components"].astype(int)
ax.errorbar(
    n_topics,
    search.cv_results_["mean_test_score"],
    yerr=search.cv_results_["std_test_score"],
    fmt="o-",
    capsize=3,
)
ax.set(xlabel="Number of topics", ylabel="Accuracy on held-out texts", xticks=n_topics)
ax.grid(alpha=0.25)
ax.spines[["top", "right"]].set_visible(False)

# %%
# Topics
# ------
# A dozen of the topics, by the words that weigh most in them. Each is named after the subpackage
# whose docstrings use it most.

words = search.best_estimator_["count"].get_feature_names_out()
topics = search.best_estimator_["topics"].components_
shares = search.best_estimator_[:3].transform(texts)
use = np.array([shares[np.array(homes) == name].mean(axis=0) for name in subpackages])
owners = np.array(subpackages)[use.argmax(axis=0)]
shown = np.argsort(-use.max(axis=0))[:10]
ComponentsDisplay(topics[shown], feature_names=words, names=owners[shown]).plot(n_top=8)
plt.show()
