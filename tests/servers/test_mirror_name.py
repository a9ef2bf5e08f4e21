"""The table by which a mirror knows its disks: what the shell writes there can be read, what cannot be is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.mirror_label import IDENTITY
from capkernel.user.tables import Given
from servers.storage.mirror_layout import identity_of
from servers.storage.mirror_name import MirrorName, MirrorNameError, judge, read_mirror_name


@given(st.binary(min_size=IDENTITY, max_size=IDENTITY), st.binary(max_size=40))
def test_identity_and_chance_are_what_was_written_also_no_chance_at_all(identity: bytes, chance: bytes) -> None:
    text = f'identity = "{identity.hex()}"\nchance = "{chance.hex()}"\n'
    assert read_mirror_name(text) == MirrorName(identity, chance)
    assert list(judge(Given(text))) == []


def test_a_name_stands_for_its_digest() -> None:
    assert read_mirror_name('name = "mirror"') == MirrorName(identity_of("mirror"))


@pytest.mark.parametrize(
    "text", ["", 'name = ""', 'identity = ""', 'identity = "00"', "chance = 3", 'name = "a"\nchance = "x"', "["]
)
def test_what_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(MirrorNameError):
        read_mirror_name(text)
