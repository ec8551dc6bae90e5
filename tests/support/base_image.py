"""A base image from what is installed on this machine, where no registry of images answers: Python, git and a shell.

The files of a few of Debian's packages and of what they depend on, as the packages brought them: nothing that was
written on this machine is in it.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.support.engine import NoEngine, client

PACKAGES = (
    *("python3", "python3-venv", "git", "ca-certificates", "tini", "base-files", "base-passwd", "bash", "dash"),
    *("coreutils", "sed", "grep", "findutils", "tar", "gzip", "passwd", "libstdc++6", "procps", "netbase"),
)
#: Comes with a dependency and is of no use in a container.
LEFT_OUT = re.compile(r"/usr/share/(doc|man|locale|info|lintian|perl|bash-completion)/|/usr/lib/git-core/git-gui")
WITHOUT = {"perl", "perl-modules-5.36", "libperl5.36", "debconf", "liberror-perl", "git-man", "media-types", "mailcap"}


def make(tag: str, *, host: str) -> None:
    """Import the image as ``tag``; raises NoEngine where this machine's packages cannot be read."""
    if shutil.which("dpkg-query") is None:
        raise NoEngine("no registry of images answers, and this machine has no Debian packages to make a base of")
    loader = subprocess.Popen(
        [client(), "--host", host, "import", "--change", "ENV LANG=C.UTF-8", "-", tag],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert loader.stdin is not None
    with tarfile.open(fileobj=loader.stdin, mode="w|") as archive:
        for path in sorted(_files(_closure())):
            archive.add(path, recursive=False)
        for name in ("bin", "sbin", "lib", "lib64"):
            _add_link(archive, f"/{name}", f"usr/{name}")
        for folder, mode in (("/tmp", 0o1777), ("/root", 0o700), ("/home", 0o755), ("/run", 0o755), ("/etc", 0o755)):
            _add_folder(archive, folder, mode)
        _add_text(archive, "/etc/passwd", Path("/usr/share/base-passwd/passwd.master").read_text())
        _add_text(archive, "/etc/group", Path("/usr/share/base-passwd/group.master").read_text())
        certificates = sorted(Path("/usr/share/ca-certificates/mozilla").glob("*.crt"))
        _add_text(archive, "/etc/ssl/certs/ca-certificates.crt", "".join(path.read_text() for path in certificates))
    loader.stdin.close()
    if loader.wait():
        raise NoEngine("the base image could not be imported")


def _closure() -> set[str]:
    """The packages and all that they depend on, of those installed here."""
    said = _query("-W", "-f", "${Package}\t${Pre-Depends}, ${Depends}\n")
    needs: dict[str, list[str]] = {}
    for line in said.splitlines():
        name, _, text = line.partition("\t")
        words = re.split(r"[,|]", re.sub(r"\([^)]*\)|:any", "", text))
        needs.setdefault(name, []).extend(word.strip() for word in words if word.strip())
    found: set[str] = set()
    todo = list(PACKAGES)
    while todo:
        name = todo.pop()
        if name in needs and name not in found and name not in WITHOUT:
            found.add(name)
            todo.extend(needs[name])
    return found


def _files(packages: set[str]) -> set[str]:
    """Every file and link of the packages; the folders come by themselves."""
    listed = {line for line in _query("-L", *sorted(packages)).splitlines() if line.startswith("/")}
    found = set()
    for name in listed:
        path = Path(name)
        if not LEFT_OUT.search(name) and (path.is_symlink() or path.is_file()):
            # /lib/x is written as /usr/lib/x: the former is a link to the latter
            found.add(str(path.parent.resolve() / path.name))
    alternatives = {str(path) for path in Path("/etc/alternatives").glob("*") if path.name in ("awk", "which", "pager")}
    return found | alternatives


def _query(*words: str) -> str:
    return subprocess.run(["dpkg-query", *words], capture_output=True, text=True, check=False).stdout


def _add_folder(archive: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    archive.addfile(entry)


def _add_link(archive: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    archive.addfile(entry, io.BytesIO(text.encode()))
