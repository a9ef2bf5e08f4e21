"""Why was this refused? ``explainer.Explainer`` looks on at a loop and explains every refusal."""
