"""The shell: lines are edited as one expects, commands do what they say, what was written is there the next time."""

import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkernel.protocols.failures import NoSpace
from capkernel.tools.shell import WITHOUT_STACK, build, status
from hwmodel.backend import BufferBackend
from hwmodel.block import FileDisk, RamDisk
from hwmodel.network import NoPeer
from servers.drivers.key_sequences import MAX_SEQUENCE
from servers.shell.editor import COLUMNS, Editor, Outcome
from servers.shell.shell import WRITE_LIMIT, Program, _pieces
from tests.servers.net.wire import needs_curl, needs_lwip
from tests.servers.shell_bench import DISK_BYTES, Terminal

KEYS = st.sampled_from(
    [
        "a",
        "b",
        " ",
        "\x7f",
        "\x15",
        "\x0b",
        "\x17",
        "\x01",
        "\x05",
        "\x1b[A",
        "\x1b[B",
        "\x1b[C",
        "\x1b[D",
        "\x1b[3~",
        "ä",
    ]
)


def typed(text: str, history: list[str] | None = None) -> Editor:
    editor = Editor(history=list(history or []))
    editor.begin("> ")
    for key in text:
        editor.key(key)
    return editor


@given(st.lists(KEYS, max_size=40))
def test_whatever_is_typed_the_cursor_is_in_the_line_and_the_picture_shows_it(keys: list[str]) -> None:
    editor = typed("".join(keys), ["one", "two"])
    assert 0 <= editor.cursor <= len(editor.text)
    assert editor.picture().startswith(f"\r\x1b[K> {editor.text}")


@given(st.text("a\u00e4\u540d", min_size=100, max_size=300), st.integers(0, 300))
def test_of_a_long_line_one_row_is_shown_and_the_cursor_is_in_it(text: str, moves: int) -> None:
    """A terminal would go on in the next row, and erase only that one."""
    editor = typed(text)
    for _ in range(moves):
        editor.key("\x1b")
        editor.key("[")
        editor.key("D")
    shown, _, back = editor.picture().removeprefix("\r\x1b[K").partition("\x1b[")
    columns = [2 if each == "\u540d" else 1 for each in shown]
    assert sum(columns) <= COLUMNS
    behind = int(back.removesuffix("D") or 0)
    left = text[: editor.cursor]
    while behind > 0:
        behind -= columns.pop()
        shown = shown[:-1]
    assert shown.removeprefix("> ") == left[-len(shown.removeprefix("> ")) or len(left) :]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("abc\x7f", "ab"), ("ab\x1b[D\x7f", "b"), ("one two\x17", "one "), ("abc\x15", ""), ("abc\x1b[D\x0b", "ab"),
        ("bc\x01a", "abc"), ("\x1b[A", "second"), ("\x1b[A\x1b[A", "first"), ("x\x1b[A\x1b[B", "x"),
        ("\x1bOA", "second"),
        ("ab\x01\x1b[3~", "b"), ("a\x07b", "ab"),
    ],
)  # fmt: skip
def test_keys_edit_the_line(keys: str, text: str) -> None:
    assert typed(keys, ["first", "second"]).text == text


def test_a_word_is_completed_as_far_as_the_choices_agree() -> None:
    editor = typed("cat do")
    assert editor.complete(["docs/", "dome", "other"]) == ["docs/", "dome"]
    assert editor.text == "cat do"
    editor.insert("c")
    assert editor.complete(["docs/", "dome"]) == []
    assert editor.text == "cat docs/"
    assert editor.complete(["a"]) == []
    assert editor.text == "cat docs/a "


@given(st.text("ab '#", min_size=1, max_size=8), st.data())
def test_a_completed_name_is_one_word_with_that_name(name: str, data: st.DataObject) -> None:
    mark = '"' if "'" in name else "'"
    size = data.draw(st.integers(0, len(name)))
    editor = typed(f"cp 'a b' to=docs/{mark}{name[:size]}")
    assert editor.words() == ["cp", "a b", f"to=docs/{name[:size]}"]
    assert editor.complete([name]) == []
    assert shlex.split(editor.text + mark * (not editor.text.endswith(" "))) == ["cp", "a b", f"to=docs/{name}"]


def test_a_directory_s_name_with_a_blank_leaves_its_quotation_mark_open() -> None:
    editor = typed("cat my")
    assert editor.complete(["my papers/", "mystery"]) == ["my papers/", "mystery"]
    editor = typed("cat 'my p")
    editor.complete(["my papers/", "mystery"])
    assert editor.text == "cat 'my papers/"
    editor.complete(["list"])
    assert editor.text == "cat 'my papers/list' "


SEQUENCES = st.one_of(
    st.builds(
        "\x1b[{}{}{}".format,
        st.text("0123456789:;<=>?", max_size=20),
        st.text(" !\"#$%&'()*+,-./", max_size=4),
        st.sampled_from([chr(code) for code in range(0x40, 0x7F)]),
    ),
    st.builds("\x1bO{}".format, st.sampled_from([chr(code) for code in range(0x20, 0x7F)])),
)
MEANT = {f"\x1b{kind}{final}" for kind in "[O" for final in "ABCDHF"} | {"\x1b[3~"}


@given(st.lists(KEYS, max_size=20), SEQUENCES.filter(lambda each: each not in MEANT), st.data())
def test_a_key_that_means_nothing_changes_nothing_wherever_it_is_typed(
    keys: list[str], sequence: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(keys)))
    plain = typed("".join(keys), ["one", "two"])
    other = typed("".join([*keys[:place], sequence, *keys[place:]]), ["one", "two"])
    assert (other.text, other.cursor, other.picture()) == (plain.text, plain.cursor, plain.picture())


@given(st.text("ab ", max_size=8), SEQUENCES, st.data())
def test_a_key_that_is_cut_off_leaves_the_line_as_it_is(text: str, sequence: str, data: st.DataObject) -> None:
    """Enter and ^C do what they do, and the next line begins with nothing."""
    begun = sequence[: data.draw(st.integers(1, len(sequence) - 1))]
    for key, outcome in (("\r", Outcome.ENTERED), ("\x03", Outcome.INTERRUPTED), ("\t", Outcome.COMPLETE)):
        editor = typed(text + begun)
        assert editor.key(key) is outcome
        assert editor.text == text
        editor.key("5")
        assert editor.text == text + "5"
    editor = typed(text + begun)
    editor.begin("> ")
    editor.key("5")
    assert editor.text == "5"


def test_a_sequence_without_end_does_not_swallow_the_line() -> None:
    assert typed("\x1b[" + "1" * 100).text == "1" * (100 - (MAX_SEQUENCE - 2))


@pytest.mark.parametrize("blanks", [" ", "  ", "     "])
def test_words_are_completed_however_many_blanks_are_between_them(blanks: str) -> None:
    editor = typed(f"{blanks}kill{blanks}d")
    assert editor.words() == ["kill", "d"]
    editor.complete(["disk", "files"])
    assert editor.text == f"{blanks}kill{blanks}disk "
    assert typed(f"kill{blanks}").words() == ["kill", ""]
    assert typed(f"cat 'a{blanks}b'{blanks}c").words() == ["cat", f"a{blanks}b", "c"]


def test_a_line_ends_in_one_of_three_ways() -> None:
    editor = typed("ls")
    assert [editor.key(key) for key in "\r\x03\t"] == [Outcome.ENTERED, Outcome.INTERRUPTED, Outcome.COMPLETE]
    assert editor.entered() == "ls"
    assert editor.history == ["ls"]
    editor.begin("> ")
    assert editor.key("\x04") is Outcome.ENDED


def test_what_cannot_be_written_down_is_shown_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        async def record(self, texts: list[str]) -> int:
            raise NoSpace("the disk is full")

    said: list[str] = []

    async def say(text: str) -> None:
        said.append(text)

    shell = Program()
    shell.audit = Full()
    monkeypatch.setattr(shell, "say", say)
    with pytest.raises(StopIteration):
        shell.record("service disk is killed").send(None)
    assert said == ["this could not be written down: NoSpace: the disk is full"]


def test_between_two_lives_of_the_shell_it_was_not_left() -> None:
    system = build(RamDisk(DISK_BYTES), NoPeer(), BufferBackend(), dict(WITHOUT_STACK), 1)
    assert "shell" not in system.threads
    assert status(system) == (0, 0)
    system.cpu.close()


def test_files_services_and_refusals() -> None:
    terminal = Terminal()
    lines = [
        "mkdir notes", "write notes/a first line", "append notes/a second", "kill disk", "cat notes/a",
        "cp notes/a notes/b", "mv notes/b c", "ls", "cat notes/b", "why", "nonsense", "cat", "cd ../..", "pwd",
        "rm notes", "services", "history", "write tmp/x in memory", "cat tmp/x", "cp c tmp/c", "mv tmp/c tmp/d",
        "mount notes n",
        "cat n/a", "rm n", "mounts", "kill files", "unmount n", "kill scratch", "cat tmp/x",
    ]  # fmt: skip
    output = "\n".join(terminal.do(line) for line in lines)
    for expected in (
        "disk: life 1 ended, life 2 has begun", "first line\nsecond", "-        18  c", "NotFound: there is no b",
        "Malformed: there is no command 'nonsense'", "Malformed: usage: cat PATH", "NotEmpty: there is something in",
        "   1  mkdir notes", "in memory", "Busy: something is mounted at n",
        "/n\n/tmp", "NotFound: there is no x",
    ):  # fmt: skip
        assert expected in output, expected
    terminal.close()


def test_keys_that_mean_nothing_and_completion_at_the_prompt() -> None:
    terminal = Terminal(is_plain=False)
    for piece in ("\x1b[1", "5~mou", "\x1b", "[3;", "5~nts", "\x1b[2\r"):
        terminal.type(piece)
        terminal.run(5_000)
    assert terminal.line.text.endswith("/bin\n/tmp\n\r\x1b[K/> ")
    terminal.type("help   kil\t\r")
    terminal.until("which the supervisor starts anew")
    terminal.type("kill   dis\t\r")
    terminal.until("disk: life 1 ended, life 2 has begun")
    terminal.close()


def test_the_audit_command_says_of_the_files_what_the_tool_says() -> None:
    terminal = Terminal()
    terminal.do("run hello")
    sound = terminal.do("audit 1")
    assert sound.endswith("2 records; every seal is right")
    terminal.do("cp /audit/trail t")
    terminal.do("cp /audit/head h")
    found = []
    for line in (
        "append /audit/trail junk", "append /audit/trail R 3", "write /audit/head x", "write /audit/trail x",
        "rm /audit/head", "rm /audit/trail",
    ):  # fmt: skip
        terminal.do("rm /audit/trail")
        terminal.do("rm /audit/head")
        terminal.do("cp t /audit/trail")
        terminal.do("cp h /audit/head")
        assert terminal.do("audit 1") == sound
        assert terminal.do(line) == ""
        found.append(terminal.do("audit 1"))
    assert all(each.endswith("2 records; NOT INTACT") for each in found)
    assert "WRONG: nobody vouches for the last 5 bytes, after record 2: they have no seal" in found[0]
    assert "WRONG: nobody vouches for the last 4 bytes" in found[1]
    assert "WRONG: the head is not this key's" in found[2]
    assert "WRONG: records 1 to 2 are missing at the end: they are in the head" in found[3]
    assert "WRONG: there is no /audit/head" in found[4]
    assert "WRONG: there is no /audit/trail" in found[5]
    terminal.close()


def test_a_head_of_before_is_not_the_one_that_the_audit_server_wrote() -> None:
    terminal = Terminal()
    terminal.do("run hello")
    terminal.do("cp /audit/head old")
    terminal.do("run hello")
    terminal.do("rm /audit/head")
    terminal.do("cp old /audit/head")
    said = terminal.do("audit 1").splitlines()
    assert said[1:] == ["WRONG: the head is not the one that the audit server wrote last", "3 records; NOT INTACT"]
    terminal.close()


def test_the_audit_command_says_if_it_cannot_look_at_the_files() -> None:
    terminal = Terminal()
    terminal.do("rm /audit/head")
    terminal.do("mkdir /audit/head")
    said = terminal.do("audit 1").splitlines()
    assert said[1].startswith("NOT SEEN: what lies in /audit cannot be read: ")
    assert said[2] == "1 records; every seal is right in what the audit server reads"
    terminal.close()


def test_what_one_run_wrote_is_there_in_the_next_and_the_end_of_the_input_leaves_the_shell(tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    command = [sys.executable, "-m", "capkernel", "shell", "--script", "-", "--disk", str(disk)]
    # What was typed ahead would be gone with the console; and the last line is not ended.
    typed = "kill console\nwrite c what lasts\nkill shell\nkill console\nappend c and more"
    run = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    terminal = Terminal(disk=FileDisk(disk.open("r+b", buffering=0)))
    assert terminal.do("cat c") == "what lasts\nand more"
    terminal.close()


def fetched(port: int, wanted: bytes) -> bytes:
    """A page, tried for a while."""
    page = b""
    for _ in range(40):
        time.sleep(0.5)
        fetch = ["curl", "-sS", "--max-time", "10", f"http://127.0.0.1:{port}/page.txt"]
        page = subprocess.run(fetch, capture_output=True, check=False).stdout
        if page == wanted:
            break
    return page


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.slow
@needs_lwip
@needs_curl
def test_the_hosts_curl_gets_what_was_written_at_the_prompt_also_after_the_network_server_died() -> None:
    port, content = free_port(), b"from the inside\n"
    command = [sys.executable, "-m", "capkernel", "shell", "--script", "-", "--net", "user", "--forward", f"{port}:80"]
    # A process may connect to where the prompt says, which is the machine's own page through the host.
    command += ["--allow", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdin is not None
        try:
            run.stdin.write("write www/page.txt from the inside\nping 10.0.2.2\n")
            run.stdin.flush()
            first = fetched(port, content)
            # Whoever is outside sees what is to be seen, and no key.
            fetch = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--path-as-is", "--max-time", "10"]
            for path in ("audit/key", "../audit/key", "%2e%2e/audit/key", "log/"):
                page = subprocess.run([*fetch, f"http://127.0.0.1:{port}/{path}"], capture_output=True, check=False)
                assert page.stdout in (b"400", b"404"), path
            run.stdin.write("kill network\nkill web\n")
            run.stdin.flush()
            second = fetched(port, content)
            run.stdin.write(f"run fetch /page.txt with web=dial:10.0.2.2:{port} console=console\n")
            run.stdin.write(f"run fetch /page.txt with web=dial:10.0.2.2:{port + 1} console=console\nexit\n")
            output = run.communicate(timeout=60)[0]
        finally:
            run.kill()
    assert (first, second) == (content, content)
    assert "answers after" in output
    assert "network: life 1 ended, life 2 has begun" in output
    assert "from the inside" in output.partition("run fetch")[2].partition("exited with 0")[0]
    assert "fetch: " in output.rpartition("run fetch")[2]


@given(st.text(alphabet=st.sampled_from("aä€🙂 "), max_size=900).map(lambda text: text * 3))
def test_a_line_is_put_out_whole_or_in_as_few_pieces_as_fit(line: str) -> None:
    pieces = list(_pieces(line))
    assert "".join(pieces) == line
    sizes = [len(piece.encode()) for piece in pieces]
    assert all(size < WRITE_LIMIT for size in sizes)
    assert all(size > WRITE_LIMIT - 5 for size in sizes[:-1])
    assert len(pieces) == 1 or sizes[-1]
