"""Print the lower bounds of the run and test dependencies, as pip constraints."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
for requirement in [
    *project["dependencies"],
    *extras["plot"],
    *extras["envi"],
    *extras["test"],
]:
    if bound := re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement):
        print("{}=={}".format(*bound.groups()))
# Matplotlib of that time calls it by names that it warns of since.
print("pyparsing<3.3")
