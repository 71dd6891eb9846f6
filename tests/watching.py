"""Runs a command and reports its use of the network: names looked up, addresses, listening ports.

`strace` sees all of it. Where tracing isn't allowed, a network namespace shows at least the look-ups: it contains
nothing but a resolver that records them.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_SWITCHES = re.compile(r"TELEMETRY|DO_NOT_TRACK|USAGE_STATS|DOWNLOAD_COUNTS|OFFLINE|PROXY", re.IGNORECASE)
_ADDRESS = re.compile(r"htons\((\d+)\).*?inet_addr\(\"([^\"]+)\"\)|htons\((\d+)\).*?inet_pton\(AF_INET6, \"([^\"]+)\"")
_BYTES = re.compile(r'"((?:\\x[0-9a-f]{2})+)"')
_LOOPBACK = re.compile(r"127\.|::1$|::ffff:127\.")
_NAMESPACE = ("unshare", "--user", "--map-root-user", "--net", "--mount")
_RESOLVER = """
import os, socket, subprocess, sys, tempfile, threading
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
with tempfile.NamedTemporaryFile("w") as conf, open(sys.argv[1], "wb") as found:
    conf.write("nameserver 127.0.0.1")
    conf.flush()
    subprocess.run(["mount", "--bind", conf.name, "/etc/resolv.conf"], check=True)
    asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asked.bind(("127.0.0.1", 53))
    def listen():
        while True:
            question, whose = asked.recvfrom(4096)
            found.write(question.hex().encode() + b"\\n")
            found.flush()
            asked.sendto(question[:2] + b"\\x81\\x83" + question[4:], whose)  # there is no such name
    threading.Thread(target=listen, daemon=True).start()
    sys.exit(subprocess.run(sys.argv[2:]).returncode)
"""


@dataclass(frozen=True)
class Seen:
    """What a command did."""

    returncode: int
    output: str
    names: frozenset[str]
    """Host names that were looked up."""
    addresses: frozenset[str]
    """Addresses that were connected or sent to, loopback and resolvers left out."""
    listening: frozenset[str]
    """Addresses that it listened on, loopback left out."""

    @property
    def quiet(self) -> bool:
        return not (self.names or self.addresses or self.listening)


@functools.cache
def means() -> str | None:
    """What can watch here: `strace`, `namespace`, or None."""
    if shutil.which("strace") and not subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"]).returncode:
        return "strace"
    if shutil.which("unshare") and shutil.which("ip") and not subprocess.run([*_NAMESPACE, "true"]).returncode:
        return "namespace"
    return None


def watched(command, home: Path, **environment: str) -> Seen:
    """Runs a command under a home folder of its own, and without the tests' switches in its environment.

    Where nothing can watch, it is run all the same.
    """
    caches = {"HOME": str(home), "HF_HOME": str(home / "huggingface"), "XDG_CACHE_HOME": str(home / "cache")}
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told"
        told.touch()
        through = {"strace": _through_strace, "namespace": _through_namespace, None: lambda told: []}[means()](told)
        done = subprocess.run(
            [*through, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=without_switches() | caches | environment,
            timeout=900,  # a busy machine is no failure
            check=False,
        )
        read = _of_strace if means() == "strace" else _of_namespace
        return Seen(done.returncode, done.stdout, *read(told.read_text().splitlines()))


def without_switches() -> dict[str, str]:
    """This process's environment without what keeps libraries quiet, or off the network."""
    return {name: value for name, value in os.environ.items() if not _SWITCHES.search(name)}


def _through_strace(told):
    calls = "--trace=connect,sendto,sendmsg,sendmmsg,bind,listen"
    return ["strace", "--follow-forks", "-qq", "--seccomp-bpf", calls, "-xx", "--string-limit=400", f"--output={told}"]


def _through_namespace(told):
    return [*_NAMESPACE, sys.executable, "-c", _RESOLVER, told]


def _of_strace(lines):
    names, addresses, bound, listening = set(), set(), {}, set()
    for line in lines:
        process, _, call = line.partition(" ")
        call = call.strip()
        socket = re.match(r"\w+\((\d+)", call)
        found = _ADDRESS.search(_unescaped(call))
        port, address = [part for part in found.groups() if part] if found else (None, None)
        if call.startswith("bind(") and address:
            bound[process, socket[1]] = bound[None, socket[1]] = address
        elif call.startswith("listen(") and socket:
            listening.add(bound.get((process, socket[1])) or bound.get((None, socket[1])) or "")
        elif address and port != "53":
            addresses.add(address)
        if call.startswith(("send", "connect")):
            names |= {
                name for text in _BYTES.findall(call) if (name := _name_in(bytes.fromhex(text.replace("\\x", ""))))
            }
    # An address of port 0 or of no kind is how libraries ask which of their own addresses they would use.
    strangers = {address for address in addresses if not _LOOPBACK.match(address)}
    return frozenset(names), frozenset(strangers), frozenset(a for a in listening if a and not _LOOPBACK.match(a))


def _of_namespace(lines):
    return frozenset(filter(None, (_name_in(bytes.fromhex(line)) for line in lines))), frozenset(), frozenset()


def _unescaped(call):
    """-xx writes addresses in hexadecimal too."""
    return _BYTES.sub(lambda found: '"' + bytes.fromhex(found[1].replace("\\x", "")).decode("latin-1") + '"', call)


def _name_in(message):
    """The name in a DNS question (RFC 1035, 4.1); "" if the bytes are none."""
    if len(message) < 17 or message[4:6] != b"\0\1":
        return ""
    labels, place = [], 12
    while place < len(message) and 0 < message[place] < 64:
        labels.append(message[place + 1 : place + 1 + message[place]])
        place += 1 + message[place]
    ends = message[place : place + 5]
    if not labels or len(ends) < 5 or ends[3:5] != b"\0\1":
        return ""
    return b".".join(labels).decode("latin-1")
