"""Formulas as MathML, which browsers draw themselves: no script, and nothing from a network."""

import html
import re

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def visit_math(translator, node):
    translator.body.append(_mathml(node.astext(), node))
    raise nodes.SkipNode


def visit_displaymath(translator, node):
    # A blank line starts a new row, as in Sphinx's own renderers.
    rows = re.split(r"\n\s*\n", node.astext().strip())
    code = _mathml(r" \\ ".join(rows), node, as_block=True)
    translator.body.append(f'<div class="math">{code}</div>\n')
    raise nodes.SkipNode


def _mathml(code, node, *, as_block=False):
    # docutils knows \bigl and \bigr, but not \big.
    code = re.sub(r"\\([bB]igg?)(?![a-zA-Z])", r"\\\1l", code)
    try:
        return latex2mathml.tex2mathml(code, as_block=as_block)
    except MathError as error:
        logger.warning("no MathML for %r: %s", code, error, location=node)
        return html.escape(code)


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
