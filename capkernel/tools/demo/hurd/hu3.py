"""HU-3: a file server learns who its clients are from its auth server, by a rendezvous, without trusting them.

Claims are handed on, shown twice and forged; a second auth server counts for who trusts it. With a file server that
asks whoever is behind a claim, forgery succeeds.
"""

from capkernel.tools.demo.hurd.meeting import Met, meet
from capkernel.tools.demo.story import Story

TITLE = "auth rendezvous: identities are proved, not told; replay, relay and forgery fail; two auth servers"
SECRET = "nobody else's"


def story(story: Story, *, everywhere: bool = False) -> None:
    """One run; with ``everywhere`` one for each of 20 seeds, which shift the clock; and one with the mistake."""
    for seed in range(story.seed, story.seed + (20 if everywhere else 1)):
        told = meet(seed)
        story.claim("all came to their end", told.is_over and not told.run.faults, told.run.faults)
        if not told.is_over:
            return
        _proved(story, told)
        _attacked(story, told)
        story.trace_hash = told.run.trace_hash
    trusting = meet(story.seed, {"nodes": "hurd_nodes_trusting"})
    seen = trusting.mallory.get("as forged")
    story.claim("a server that asks whoever is behind a claim lets mallory read the diary", seen == SECRET, seen)


def _proved(story: Story, told: Met) -> None:
    alice = told.alice
    story.claim("at first a client is nobody to a file server", alice["at first"] == "()", alice["at first"])
    story.claim("then it is who its auth server says", alice["proved"] == alice["own"] == "(1000,)", alice["proved"])
    story.claim("and may what they may", alice["diary"] == SECRET)
    former = (alice["the cap from before"], alice["diary as nobody"])
    story.claim("the cap from before is nobody's still", former == ("()", "NotPermitted"), former)
    root = alice["proved to the other"] == alice["other own"] == "(0,)"
    story.claim("to whoever trusts the other auth server she is root", root, alice["proved to the other"])
    story.claim("to the first file server that counts nothing", alice["other identity"] == "Malformed")
    story.claim("nor the first identity to the other", alice["identity at the other"] == "Malformed")
    story.claim("identities of two auth servers cannot be joined", alice["joined"] == "Malformed")


def _attacked(story: Story, told: Met) -> None:
    alice, mallory = told.alice, told.mallory
    story.claim("mallory hands alice's claim on as its own", mallory["hands it on"] == "done", mallory["hands it on"])
    story.claim("that makes it nobody", mallory["is then"] == "()", mallory["is then"])
    story.claim(
        "what the claim is worth came to alice", alice["came to its owner"] == "(1000,)", alice["came to its owner"]
    )
    story.claim("mallory cannot collect it with the claim", mallory["collects"] == "Malformed")
    story.claim("a claim is no identity", mallory["asks its ids"] == "Malformed")
    story.claim("shown a second time it is refused", mallory["shows it again"] == "Refused", mallory["shows it again"])
    story.claim("to whichever server", mallory["accepts it itself"] == "Refused", mallory["accepts it itself"])
    own = mallory["own"], mallory["diary as oneself"]
    story.claim("as itself mallory may not read the diary", own == ("(1001,)", "NotPermitted"), own[0])
    story.claim("it cannot make an identity of more ids", mallory["more ids"] == "NotPermitted")
    story.claim("nor get ids by giving up ids", mallory["keeps"] == "()")
    story.claim("an identity is no claim", mallory["shows its identity"] == "Malformed")
    story.claim("nor is a forged one", mallory["forges"] == "Malformed", mallory["forges"])
    story.claim("and nothing is left for it", mallory["as forged"] == "nothing", mallory["as forged"])
