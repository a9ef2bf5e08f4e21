"""The example in the documentation runs."""

import re
from pathlib import Path


def test_the_example_runs():
    page = Path(__file__).parents[2] / "docs" / "hwmodel.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    exec(compile(example, str(page), "exec"), {})
