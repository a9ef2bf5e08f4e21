"""What the checks print as JSON, as words: how much was looked at, and what spoke against the claim."""

from collections.abc import Callable
from typing import Any, Final

from specs.assurance.model import Seen
from specs.bugs.catalogue import BUGS


def tests(data: Any) -> Seen:
    """What a run of tests was."""
    failed = data["failed"]
    skipped = f", {data['skipped']:,} not run" if data["skipped"] else ""
    passed = data["tests"] - len(failed) - data["skipped"]
    return Seen(f"{passed:,} tests passed{skipped}", f"{len(failed):,} failed: {failed[0]}" if failed else "nothing")


def recordings(data: Any) -> Seen:
    """What was replayed, and what differs."""
    differ = data["divergences"]
    amount = f"{data['programs']:,} recorded programs, {data['operations']:,} operations"
    assumed = f"; {len(data['assumed'])} of them under an assumption that is printed" if data["assumed"] else ""
    return Seen(amount + assumed, f"{len(differ):,} programs differ" if differ else "nothing")


def refinement(data: Any) -> Seen:
    """Generated programs on both kernels."""
    amount = f"{data['operations']:,} generated operations in {data['programs']:,} programs"
    return Seen(amount, f"{data['diverged']:,} programs diverged" if data["diverged"] else "nothing")


def flow(data: Any) -> Seen:
    """Pairs of runs."""
    pairs = data["pairs"]
    leaks = [f"{each['wiring']}, {each['label']}" for each in pairs if each["leak"]]
    runs, entries = (sum(each[name] for each in pairs) for name in ("pairs", "entries"))
    return Seen(f"{runs:,} pairs of runs, {entries:,} kernel entries", "; ".join(leaks) or "nothing")


def bugs(data: Any) -> Seen:
    """Planted defects."""
    outcomes = data["outcomes"]
    missed = [each["row"] for each in outcomes if not set(each["violated"]) & set(BUGS[each["row"]].caught_by)]
    amount = f"{len(outcomes) - len(missed)} of {len(outcomes)} planted defects noticed"
    return Seen(amount, f"not noticed: {', '.join(missed)}" if missed else "nothing")


def siege(data: Any) -> Seen:
    """Attackers of the strong system, and of the one that is made weak on purpose, where they must get something."""
    strong, weak = data["sieges"]
    found = [*strong["successes"], *(each["claim"] for each in strong["findings"] if not each["holds"])]
    if not weak["successes"]:
        found.append("they found nothing in the weak system either")
    amount = f"{strong['attempts']:,} attempts; in the same system made weak, {len(weak['successes'])} ways in"
    return Seen(amount, "; ".join(found) or "nothing")


def exploration(data: Any) -> Seen:
    """Configurations of which all states were visited."""
    open_ones = [each["name"] for each in data if not each["exhausted"]]
    broken = [each["name"] for each in data if each["violations"]]
    states, transitions = (sum(each[name] for each in data) for name in ("states", "transitions"))
    amount = f"all states of {len(data) - len(open_ones)} configurations: {states:,}, with {transitions:,} transitions"
    against = [*(f"{name}: not exhausted" for name in open_ones), *(f"{name}: violated" for name in broken)]
    return Seen(amount, "; ".join(against) or "nothing")


def faults(data: Any) -> Seen:
    """Faults in drivers, and the harm that they did."""
    sums = data.values()
    planned, acted = (sum(each[name] for each in sums) for name in ("planned", "activated"))
    harms: dict[str, int] = {}
    for each in sums:
        for harm, count in each["harms"].items():
            harms[harm] = harms.get(harm, 0) + count
    trials = sum(each["trials"] for each in sums)
    amount = f"{planned:,} faults injected in {trials:,} trials, {acted:,} of them in effect"
    return Seen(amount, "; ".join(f"{harm}: {count:,}" for harm, count in harms.items() if count) or "nothing")


def mutants(data: Any) -> Seen:
    """Changes of the kernel."""
    total = data["total"]
    tried = sum(count for name, count in total.items() if name != "not run")
    noticed = total.get("killed", 0) + total.get("timed out", 0)
    amount = f"{noticed:,} of {tried:,} mutants noticed, {total.get('equivalent', 0):,} explained as equivalent"
    left = [f"{total[name]:,} {name}" for name in ("survived", "not run") if total.get(name)]
    return Seen(amount, "; ".join(left) or "nothing")


def fuzzed(data: Any) -> Seen:
    """Steps under all invariants."""
    found = data["found"]
    return Seen(f"{data['steps']:,} generated steps", str(found["problem"]) if found else "nothing")


def proofs(data: Any) -> Seen:
    """Theorems, and operations of the extracted model beside the specification."""
    return Seen(
        f"{len(data['theorems'])} theorems without axioms; {data['operations']:,} operations of the extracted model",
        data["difference"] or "nothing",
    )


def spin(data: Any) -> Seen:
    """Configurations in which model and kernel reach the same states."""
    differ = [each["name"] for each in data if not each["agrees"]]
    states = sum(each["model_states"] for each in data)
    return Seen(f"{states:,} states in {len(data)} configurations", ", ".join(differ) or "nothing")


def induction(data: Any) -> Seen:
    """Parts of the inductive step."""
    amount = f"{data['proved']} of {data['claims']} parts proved; {data['operations']:,} operations of the models"
    return Seen(amount, "; ".join(data["wrong"]) or "nothing")


READERS: Final[dict[str, Callable[[Any], Seen]]] = {
    each.__name__: each
    for each in (
        tests, recordings, refinement, flow, bugs, siege, exploration, faults, mutants, fuzzed, proofs, spin, induction
    )
}
