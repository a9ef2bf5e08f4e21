"""Why was this refused? An ``Explainer`` looks on at a loop and explains every refusal by what was missing."""

from capkernel.tools.explain.explainer import Explainer
from capkernel.tools.explain.explanation import Explanation
from capkernel.tools.explain.missing import Missing

__all__ = ["Explainer", "Explanation", "Missing"]
