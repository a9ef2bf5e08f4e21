"""Who decides who gets what: the claims of `capkernel demo broker` and `confused-deputy`."""

import pytest

from capkernel.tools.demo import broker, confused_deputy
from capkernel.tools.demo.policies import factory, membrane, powerbox, sealer, servers, space_bank
from capkernel.tools.demo.stage import Stage
from hwmodel.virtio import virtio_rng
from tests.policies.test_broker import servant_caps
from tests.scenarios.playing import must_hold


@pytest.mark.slow
def test_the_broker_hands_out_and_takes_back_also_when_it_died() -> None:
    must_hold("broker", broker)


@pytest.mark.campaign
def test_the_broker_hands_out_and_takes_back_wherever_it_died() -> None:
    must_hold("broker", broker, everywhere=True)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trace() -> None:
    assert broker.play(seed=3).trace_hash == broker.play(seed=3).trace_hash


def test_a_deputy_is_confused_by_names_and_not_by_caps() -> None:
    must_hold("confused-deputy", confused_deputy)


@pytest.mark.slow
def test_while_a_policy_server_lives_and_never_answers_nobody_gets_anything_and_the_broker_is_started_anew() -> None:
    stage = Stage(
        "policies", variant=servers.COUNCIL, devices={"virtio1": virtio_rng(seed=1)},
        programs=dict.fromkeys(servers.CONSULTANTS, "consultant.elf") | {"wall": "mute_policy.elf"},
    )  # fmt: skip
    assert stage.run_until(lambda: stage.injector.lives["broker"] > 1, 1_000_000)
    assert stage.injector.lives["wall"] > 1
    # Sessions from 2 on are the broker's: nothing was ever opened for anybody.
    assert not set(servant_caps(stage)) & {2, 4, 5}
    stage.close()


@pytest.mark.slow
def test_a_policy_server_that_dies_lets_nothing_pass() -> None:
    must_hold("policy-servers", servers)


@pytest.mark.campaign
def test_a_policy_server_that_dies_anywhere_lets_nothing_pass() -> None:
    must_hold("policy-servers", servers, everywhere=True)


@pytest.mark.slow
def test_a_membrane_stays_cut_and_a_caretaker_is_not_enough() -> None:
    must_hold("membrane", membrane)


@pytest.mark.campaign
def test_a_membrane_stays_cut_whoever_dies_wherever() -> None:
    must_hold("membrane", membrane, everywhere=True)


def test_a_sealed_box_goes_through_untrusted_hands() -> None:
    must_hold("sealer", sealer)


@pytest.mark.slow
def test_the_user_gives_what_he_chooses_and_nobody_deceives_him() -> None:
    must_hold("powerbox", powerbox)


@pytest.mark.campaign
def test_a_powerbox_that_dies_anywhere_forgets_nothing_that_it_was_told_to_remember() -> None:
    must_hold("powerbox", powerbox, everywhere=True)


@pytest.mark.slow
def test_who_looks_at_the_certificate_may_trust_what_a_factory_makes() -> None:
    must_hold("factory", factory)


@pytest.mark.slow
def test_banks_of_memory_lose_and_make_nothing() -> None:
    must_hold("space-bank", space_bank)


@pytest.mark.campaign
def test_banks_of_memory_lose_and_make_nothing_wherever_their_server_dies() -> None:
    must_hold("space-bank", space_bank, everywhere=True)
