"""Let docstrings name fitted attributes plainly, as in "of shape (n_iter_,)".

A word that ends in an underscore would be a link in reStructuredText.
"""

import re

# What stands in backticks is passed over; what follows the underscore can't be in a formula.
_NAME = re.compile(r"(`+[^`]+`+_?)|\b([A-Za-z]\w*)_(?=[,.;:)*\s]|$)")


def escape_names(app, what, name, obj, options, lines):
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...", "..")):
            lines[i] = _NAME.sub(lambda match: match[1] or match[2] + r"\_", line)


def setup(app):
    app.connect("autodoc-process-docstring", escape_names, priority=900)  # after numpydoc
    return {"parallel_read_safe": True}
