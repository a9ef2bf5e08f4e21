"""Processes at the prompt: they have what is named and nothing else, get more and lose it while they run, and end."""

import re
from collections.abc import Iterator

import pytest

from capkernel.tools.demo.storage import spread
from capkernel.tools.inject import Fault, Injector, Kind
from hwmodel.block import RamDisk
from servers.shell.process_commands import parse_run
from tests.servers.net.wire import needs_lwip
from tests.servers.shell_bench import Terminal


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    """One system for all tests of this module; invariants of the kernel are looked at now and then."""
    terminal = Terminal(every=2000)
    yield terminal
    terminal.close()


@pytest.fixture(scope="module")
def typist() -> Iterator[Terminal]:
    """One at whose terminal lines are edited."""
    typist = Terminal(is_plain=False)
    yield typist
    typist.close()


def pid_of(output: str) -> int:
    found = re.search(r"\[(\d+)\]", output)
    assert found, output
    return int(found[1])


def test_a_program_has_the_caps_that_were_named_and_no_other(terminal: Terminal) -> None:
    assert terminal.do("run hello you with console=console").startswith("hello, you; I have console, slots\n")
    assert re.fullmatch(r"\[\d+\] hello exited with 0", terminal.do("run /bin/hello you"))
    terminal.do("write greeting good morning")
    assert "good morning" in terminal.do("run cat with file=greeting console=console")
    assert "nobody gave me 'file'" in terminal.do("run cat with console=console")
    assert terminal.do("run cat with file=nothing").startswith("NotFound")
    assert terminal.do("run nothing").startswith("NotFound")
    assert terminal.do("run greeting").startswith("WrongKind")
    assert terminal.do("ps") == "no process runs"


def test_a_program_of_any_file_system_runs(terminal: Terminal) -> None:
    terminal.do("cp /bin/hello /tmp/of_memory")
    terminal.do("cp /bin/hello of_disk")
    for path in ("/tmp/of_memory", "/of_disk", "/bin/hello"):
        assert "exited with 0" in terminal.do(f"run {path}")
    assert terminal.do("cp /tmp/of_memory /bin/mine").startswith("NotPermitted")
    assert terminal.do("rm /bin/hello").startswith("NotPermitted")


def test_a_fault_says_what_was_done(terminal: Terminal) -> None:
    output = terminal.do("run stray 0x66666000")
    assert "faulted: VMFault" in output
    assert "0x66666000" in output
    assert "nothing is mapped there for it" in output
    assert "It was given nothing" in terminal.do(f"why {pid_of(output)}")
    assert "0x66666000" in terminal.do("log 1")


def test_a_cap_is_granted_to_a_process_that_runs_and_revoked_with_what_came_of_it(terminal: Terminal) -> None:
    terminal.do("write news one")
    pid = pid_of(terminal.do("run follow with console=console &"))
    terminal.do("sleep 10")
    assert "waiting for a cap 'file'" in terminal.line.text
    granted = terminal.do(f"grant {pid} file news")
    assert f"process {pid} has file: file /news (r)" in granted
    assert "follow: one" in granted + terminal.do("sleep 20")
    assert "follow: two" in terminal.do("write news two") + terminal.do("sleep 20")
    assert re.search(r"\d  file +file /news \(r\) +works", terminal.do(f"caps {pid}"))
    assert "AlreadyExists" in terminal.do(f"grant {pid} file news")
    assert "follow: Gone" in terminal.do(f"revoke {pid} file") + terminal.do("sleep 20")
    terminal.do("pwd")
    assert f"[{pid}] follow exited with 2" in terminal.line.text
    assert terminal.do(f"grant {pid} file news").startswith("Gone")


def test_what_came_of_a_cap_goes_with_it_however_the_process_clings_to_it(terminal: Terminal) -> None:
    terminal.do("mkdir shared")
    terminal.do("write shared/a text")
    terminal.do("run follow with file=shared/a &")
    pid = pid_of(terminal.do("run cling with dir=shared:rw console=console &"))
    assert "4 of 4 caps work" in terminal.line.text[-2000:] + terminal.do("sleep 20")
    # It got three by itself: a copy, a derived cap, a file.
    assert terminal.do(f"caps {pid}").count("something that it got by itself") == 3
    output = terminal.do(f"revoke {pid} dir") + terminal.do("sleep 30") + terminal.do("pwd")
    assert "0 of 4 caps work" in output
    assert output.count("Gone: what this cap led to was closed") == 3
    # Who has another cap to the same file keeps it.
    assert terminal.do(f"caps {pid - 1}").count("works") == 2
    assert "killed" in terminal.do(f"kill {pid - 1}")
    assert terminal.do(f"caps {pid}").startswith("Gone")


def test_an_attacker_is_refused_everything_and_succeeds_where_he_may(terminal: Terminal) -> None:
    terminal.do("mkdir vault")
    terminal.do("write vault/secret do not touch")
    given = "launcher=launcher:512K:3 program=/bin/spin memory=memory:16K console=console"
    output = terminal.do(f"run mallory with home=vault {given}")
    found = re.search(r"mallory: (\d+) tries, 0 succeeded", output)
    assert found, output
    tries = int(found[1])
    assert output.count("refused  ") == tries >= 20
    assert "SUCCESS" not in output
    assert terminal.do("cat vault/secret") == "do not touch"
    assert terminal.do("ps") == "no process runs"
    # The control: what was refused for lack of a right succeeds for one who has it, so the tries are real ones.
    output = terminal.do(f"run mallory with home=vault:rw {given}")
    assert f"mallory: {tries} tries, 4 succeeded" in output
    assert terminal.do("cat vault/secret").startswith("NotFound")
    assert "to forge" in output
    assert "SUCCESS  to create a file: a cap to a File" in output
    for line in output.splitlines():
        assert not line.startswith("SUCCESS") or re.search("secret|create|right to write", line), line


@pytest.mark.slow
def test_memory_and_processes_have_their_ends(terminal: Terminal) -> None:
    assert "exited with 16" in terminal.do("run hog with memory=memory:64K")
    assert terminal.do("run hog with memory=memory:2M").startswith("QuotaExceeded")
    assert terminal.do("why").count("memory") > 1
    pids = [pid_of(terminal.do("run sleeper &")) for _ in range(10)]
    assert terminal.do("run sleeper &").startswith("QuotaExceeded: this launcher has 10 processes")
    assert terminal.do("ps").count("running") == 10
    for pid in pids:
        assert "killed" in terminal.do(f"kill {pid}")
    assert terminal.do("top").startswith("processes: 0 of 10; memory: 0 of ")
    assert "exited with 6" in terminal.do("run adder 3 with heap=12K")
    assert "exited with 136" in terminal.do("run adder 16 with heap=paged:64K:2")


def test_processor_time_is_counted(terminal: Terminal) -> None:
    pid = pid_of(terminal.do("run sleeper &"))
    before = cpu_of(terminal, pid)
    terminal.do("sleep 30")
    after = cpu_of(terminal, pid)
    # Its budget is a millisecond of every five.
    assert 4_000 <= after - before <= 8_000
    terminal.do(f"kill {pid}")


def cpu_of(terminal: Terminal, pid: int) -> int:
    found = re.search(rf"^ *(\d+) +\d+ +{pid} ", terminal.do("top"), re.MULTILINE)
    assert found
    return int(found[1])


def test_the_interrupt_key_ends_what_runs_in_front(terminal: Terminal) -> None:
    terminal.type("run sleeper\n")
    terminal.run(20_000)
    assert "sleeper exited" not in terminal.text
    terminal.type("\x03")
    assert re.search(r"\[\d+\] sleeper killed", terminal.wait())
    assert terminal.do("ps") == "no process runs"
    pid = pid_of(terminal.do("run sleeper &"))
    terminal.type(f"wait {pid}\n")
    terminal.run(20_000)
    terminal.type("\x03")
    assert "goes on" in terminal.wait()
    terminal.do(f"kill {pid}")


@pytest.mark.slow
def test_servers_may_die_while_processes_run(terminal: Terminal) -> None:
    pid = pid_of(terminal.do("run sleeper &"))
    services = (
        "files", "disk", "memory", "processes", "pager", "names", "log", "audit", "rtc", "entropy", "timer", "usage",
    )  # fmt: skip
    for service in services:
        assert "ended, life" in terminal.do(f"kill {service}"), service
    assert terminal.do("ps").count("running") == 1
    for line in ("date", "random 4", "log", "audit", "names", "top", "run hello", "sleep 1"):
        output = terminal.do(line)
        assert not re.match(r"[A-Z]\w+: ", output), f"{line}: {output}"
    assert re.search(rf"\[{pid}\] sleeper killed", terminal.do(f"kill {pid}"))
    assert terminal.do("ps") == "no process runs"


def test_names_outlive_their_server(terminal: Terminal) -> None:
    terminal.do("write motto be brief")
    terminal.do("bind motto motto")
    terminal.do("kill names")
    assert terminal.do("names") == "motto            file /motto (r)"
    assert "exited with 0" in terminal.do("run hello with names=names:motto")
    terminal.do("unbind motto")
    assert terminal.do("names") == "no name is bound"


def test_a_refusal_is_explained_from_the_cap_that_was_used_to_the_description(terminal: Terminal) -> None:
    assert terminal.do("write /bin/x text").startswith("NotPermitted")
    reason = terminal.do("why")
    for expected in (
        "What was asked: Mounts.directory(name='bin', rights=rw)", "the root directory", "slot 310",
        "the system's description gives: to call mounts", "bin, files, scratch", "were given to: shell",
    ):  # fmt: skip
        assert expected in reason, reason
    terminal.do("nonsense")
    assert "refused by the shell itself" in terminal.do("why")
    terminal.do("cat tmp/missing")
    assert "Directory.open(name='missing', rights=r)" in terminal.do("why")
    assert "which was the answer to Mounts.directory(name='tmp', rights=r)" in terminal.do("why")
    assert "the root directory" in terminal.do("why")


def test_the_caps_of_a_service_are_those_of_the_description(terminal: Terminal) -> None:
    caps = terminal.do("caps card").splitlines()
    assert "device frames card_registers at 0x10002000: rw" in caps
    assert "the IRQ handler of interrupt 2, on channel 0" in caps
    assert not any("files" in line for line in caps)
    assert terminal.do("caps nobody").startswith("NotFound")


def test_authority_that_changes_hands_is_in_the_audit_trail(terminal: Terminal) -> None:
    pid = pid_of(terminal.do("run sleeper with log=log &"))
    terminal.do(f"grant {pid} home /tmp:rw")
    terminal.do(f"revoke {pid} home")
    terminal.do(f"kill {pid}")
    trail = terminal.do("audit 4").splitlines()
    for line, expected in zip(trail, ("started with log: the log", "granted home: directory /tmp (rw)", "lost home",
                                      "was killed", "every seal is right"), strict=True):  # fmt: skip
        assert expected in line


def test_the_shell_itself_may_die(terminal: Terminal) -> None:
    terminal.do("run sleeper &")
    terminal.type("kill shell\n")
    terminal.wait()
    assert terminal.do("ps") == "no process runs"
    assert "running                       2" in terminal.do("services").splitlines()[-1]


def test_nobody_came_to_grief_but_who_was_to(terminal: Terminal) -> None:
    terminal.do("run hello")
    assert [report for report in terminal.crashes() if "servers/programs" not in report] == []


@pytest.mark.parametrize(
    "words",
    ["", "&", "with a=b", "x with a", "x with a=", "x with =b", "x with a=b a=c", "x with slots=y", "cat with heap=9"],
)
def test_a_line_that_makes_no_sense_runs_nothing(words: str, terminal: Terminal) -> None:
    assert terminal.do(f"run {words}").startswith("Malformed")


@pytest.mark.parametrize(
    ("gift", "said"),
    [
        ("console:9", "Malformed: 'console:9': nothing stands behind 'console'"), ("console:", "nothing stands behind"),
        ("keys:9", "nothing stands behind 'keys'"), ("log:a", "nothing stands behind 'log'"),
        ("names", "Malformed: names are names:A,B"), ("names:", "names are"), ("names:a,,b", "names are"),
        ("launcher:64K:1:9", "Malformed: '1:9' is no number"), ("memory:4K:9", "Malformed: '4K:9' is no size"),
        ("launcher:64K", "Malformed: how many processes is missing: it is launcher:BYTES:COUNT, as in launcher:512K:2"),
        ("launcher", "the number of bytes is missing: it is launcher:BYTES:COUNT"),
        ("dial:1.2.3.4", "Malformed: the port is missing: it is dial:HOST:PORT, as in dial:10.0.2.2:7"),
        ("dial:1.2.3.4:", "the port is missing: it is dial:HOST:PORT"), ("dial", "the port is missing: it is dial"),
        ("dial::7", "Malformed: the host is missing: it is dial:HOST:PORT"),
        ("dial:1.2.3.4:http", "'http' is no port, 1 to 65535: it is dial:HOST:PORT"),
        ("dial:1.2.3.4:99999", "'99999' is no port, 1 to 65535"), ("listen:0", "'0' is no port, 1 to 65535"),
        ("listen", "the port is missing: it is listen:PORT, as in listen:80"),
        ("ping:", "the host is missing: it is ping:HOST, as in ping:10.0.2.2"),
        ("/bin/hello:rx", "NotFound: there is no hello:rx; rights are :r, :w or :rw"),
    ],
)  # fmt: skip
def test_a_suffix_that_means_nothing_is_refused(gift: str, said: str, terminal: Terminal) -> None:
    assert said in terminal.do(f"run hello with a={gift}")
    assert said in terminal.do(f"bind a {gift}")
    assert terminal.do("names") == "no name is bound"


def test_a_line_is_taken_apart() -> None:
    order = parse_run(["x", "1", "2", "with", "a=b:rw", "heap=8K", "c=d=e", "&"])
    assert (order.file, order.arguments, order.heap, order.in_background) == ("x", ["1", "2"], "8K", True)
    assert order.gifts == {"a": "b:rw", "c": "d=e"}


@needs_lwip
@pytest.mark.slow
def test_network_and_web_server_come_back() -> None:
    terminal = Terminal(stack=True)
    for service in ("network", "web", "card"):
        assert "ended, life" in terminal.do(f"kill {service}")
        terminal.do("sleep 300")
    services = terminal.do("services")
    assert re.search(r"network +running +2 ", services)
    assert re.search(r"web +running +2 ", services)
    assert terminal.crashes() == []
    terminal.close()


def test_keys_are_lent_to_a_program_in_front_and_come_back(terminal: Terminal) -> None:
    assert "exited with 0" in terminal.do("run hello with keys=keys")
    assert terminal.do("pwd") == "/"
    assert terminal.do("run hello with keys=keys &").startswith("Malformed: the keys can be lent")
    terminal.type("run sleeper with keys=keys\n")
    terminal.run(20_000)
    terminal.type("\x03")
    assert "killed" in terminal.wait()
    assert terminal.do("pwd") == "/"


@pytest.mark.slow
def test_what_is_too_long_is_refused_and_the_shell_goes_on(terminal: Terminal, typist: Terminal) -> None:
    assert terminal.do(f"bind {'x' * 300} /tmp").startswith("Malformed")
    assert terminal.do(f"run hello with {'x' * 70}=/tmp").startswith("Malformed")
    for length in (600, 3000):
        typist.type("x" * length + "\n")
        assert "Malformed" in typist.wait()
    for place in ("x" * 200, "y" * 200, "z" * 200):
        terminal.do(f"mkdir {place}")
        terminal.do(f"cd {place}")
    assert terminal.do("pwd").count("z") == 200
    terminal.do("cd")


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://10.0.2.2:99999/", "http://10.0.2.2:x/", "http://h/\u00e4", "//"]
)
def test_a_url_that_is_none_is_refused(url: str, terminal: Terminal) -> None:
    assert terminal.do(f"curl {url}").startswith("Malformed")


def test_what_is_typed_or_pasted_ahead_is_done_line_by_line(typist: Terminal) -> None:
    typist.type("".join(f"append tmp/ahead line {number}\r" for number in range(9)) + "write tmp/ahead_is done\r")
    typist.until("ahead_is done\n.*> $")
    assert typist.do("cat tmp/ahead").split("\n")[-9:] == [f"line {number}" for number in range(9)]


def test_an_interrupt_key_at_the_prompt_does_not_end_what_runs_next(typist: Terminal) -> None:
    typist.type("abc\x03")
    typist.settle()
    assert "hello exited with 0" in typist.do("run hello")
    typist.type("run sleeper\n")
    typist.run(20_000)
    typist.type("\x03pwd\n")
    typist.until("sleeper killed\n/> pwd\n/\n/> $")


@pytest.mark.slow
def test_words_are_completed_with_processes_services_gifts_and_paths(typist: Terminal) -> None:
    pid = pid_of(typist.do("run sleeper with console=console &"))
    typist.type("write tmp/paper x\n")
    typist.wait()
    for typed, completed in (
        ("kill ent\t", "kill entropy "), (f"kill {pid}\t", f"kill {pid} "),
        (f"revoke {pid} c\t", f"revoke {pid} console "),
        ("run cat with file=tm\tpa\t", "run cat with file=tmp/paper "), ("unb\t", "unbind "),
    ):  # fmt: skip
        typist.type(typed)
        typist.run(20_000)
        assert typist.text.endswith(f"> {completed}"), repr(typist.text)
        typist.type("\x15\n")
        typist.wait()


POINTS = 3


def surely(terminal: Terminal, line: str) -> str:
    """Type a line, and again if a server died meanwhile."""
    output = terminal.do(line)
    return terminal.do(line) if output.startswith("ServerDied") else output


def bind_and_unbind(terminal: Terminal) -> list[str]:
    """Names come and go. What the list says at the end."""
    for line in ("bind a /tmp", "bind b /tmp:rw", "unbind a", "bind c /bin"):
        surely(terminal, line)
    return [line.split()[0] for line in surely(terminal, "names").splitlines()]


@pytest.mark.slow
def test_a_name_server_that_dies_at_any_point_keeps_what_it_has_acknowledged() -> None:
    calm = Terminal()
    injector = Injector(calm.system, [])
    assert bind_and_unbind(calm) == ["b", "c"]
    steps = injector.steps["names"]
    calm.close()
    for point in spread(steps, POINTS):
        struck = Terminal()
        injector = Injector(struck.system, [Fault("names", point, Kind.CRASH)])
        assert bind_and_unbind(struck) == ["b", "c"], point
        assert injector.activated
        for name in ("b", "c"):
            assert surely(struck, f"unbind {name}") in ("", f"NotFound: there is no '{name}'")
        assert surely(struck, "names") == "no name is bound"
        struck.close()


@pytest.mark.slow
def test_processes_that_chatter_do_not_take_the_prompt_away() -> None:
    """More of them than the console has places to wait."""
    terminal, patience_us = Terminal(), 10_000
    for number in range(1, 8):
        terminal.type("run chatter with console=console &\n")
        terminal.until(rf"\[{number}\] chatter runs", patience_us)
    terminal.type("write x still here\ncat x\n")
    terminal.until(r"\nstill here\n", patience_us)
    for number in range(1, 8):
        terminal.type(f"kill {number}\n")
        terminal.until(rf"\[{number}\] chatter killed", patience_us)
    terminal.run(2_000)
    assert terminal.do("ps").endswith("no process runs")
    terminal.close()


ERRANDS = (
    "write a text", "run cat with file=a console=console", "run sleeper with home=/:rw &", "bind a a", "ps", "top",
    "cat a", "unbind a", "mkdir d", "log", "audit", "run hog with memory=memory:16K", "kill {pid}", "ls /bin",
)  # fmt: skip


def errands(terminal: Terminal) -> str:
    """Something of everything; what was put out."""
    pid, output = 0, ""
    for line in ERRANDS:
        answer = terminal.do(line.format(pid=pid))
        found = re.search(r"\[(\d+)\] sleeper runs", answer)
        pid = int(found[1]) if found else pid
        output += f"{answer}\n"
    return output


def strike(victim: str, points: int) -> None:
    """Crash a domain at some points of the errands. The prompt is there again, and everything works afterwards."""
    calm = Terminal()
    injector = Injector(calm.system, [])
    errands(calm)
    steps = injector.steps[victim]
    calm.close()
    for point in spread(steps, points):
        struck = Terminal()
        injector = Injector(struck.system, [Fault(victim, point, Kind.CRASH)])
        errands(struck)
        assert injector.activated, point
        struck.settle()
        assert surely(struck, "write /again yes") == ""
        assert "yes" in surely(struck, "run cat with file=/again console=console"), point
        assert struck.do("ps").endswith("no process runs") or struck.do("kill shell") is not None
        assert re.search(r"processes: 0 of 10; memory: 0 of", struck.do("top")), point
        assert struck.do("audit").endswith("every seal is right")
        struck.close()


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["processes", "shell"])
def test_the_prompt_is_there_again_whoever_dies(victim: str) -> None:
    strike(victim, 2)


@pytest.mark.campaign
@pytest.mark.parametrize(
    "victim",
    ["processes", "shell", "memory", "mounts", "files", "disk", "bin", "log", "audit", "names", "console", "entropy"],
)
def test_the_prompt_is_there_again_whoever_dies_wherever(victim: str) -> None:
    strike(victim, 12)


@pytest.mark.slow
def test_on_a_full_disk_files_that_cannot_be_written_stay_as_they_were() -> None:
    terminal = Terminal(disk=RamDisk(128 << 10))
    terminal.do(f"write precious {'x' * 440}")
    fillers = 0
    while not terminal.do(f"append filler{fillers} {'x' * 400}"):
        fillers += 1
    before, listed = terminal.do("cat precious"), terminal.do("ls")
    assert f"filler{fillers}" not in listed
    for line in (f"write precious {'y' * 450}", "write precious y", "append precious z", "cp filler0 precious"):
        assert terminal.do(line).endswith("NoSpace: the disk is full")
        assert terminal.do("cat precious") == before
    assert terminal.do("write fresh text") == "NoSpace: the disk is full"
    assert terminal.do("ls") == listed
    for number in range(fillers):
        terminal.do(f"rm filler{number}")
    assert terminal.do("write precious y") == ""
    assert terminal.do("cat precious") == "y"
