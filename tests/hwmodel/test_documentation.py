"""The examples in the documentation run, one after the other."""

import re
from pathlib import Path


def test_the_examples_run():
    page = Path(__file__).parents[2] / "docs" / "hwmodel.md"
    examples = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert len(examples) == 2
    exec(compile("\n".join(examples), str(page), "exec"), {})
