"""Real repositories for tests, made with Git itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: Who commits, where nobody else says it: an empty home knows nobody.
NOBODY_ELSE = {
    f"GIT_{role}_{what}": said
    for role in ("AUTHOR", "COMMITTER")
    for what, said in (("NAME", "Ana Test"), ("EMAIL", "ana@example.org"))
}


@dataclass(frozen=True)
class Repo:
    """A repository on the disk."""

    root: Path

    @classmethod
    def make(cls, root: Path, *options: str) -> Repo:
        """Make an empty one."""
        root.mkdir(parents=True)
        made = cls(root)
        made("init", "--quiet", "--initial-branch=main", *options, ".")
        return made

    def __call__(self, *args: str | bytes, stdin: bytes | None = None) -> str:
        """Run Git in it and return what it printed, without the last newline. Fails with Git's words."""
        env = {**NOBODY_ELSE, **os.environ}
        done = subprocess.run(["git", *args], cwd=self.root, env=env, input=stdin, capture_output=True)
        assert not done.returncode, f"git {args}: {done.stderr.decode(errors='replace')}"
        return done.stdout.decode(errors="replace").removesuffix("\n")

    def write(self, files: Mapping[str | bytes, str | bytes]) -> None:
        """Write working files."""
        for name, text in files.items():
            path = self.root / os.fsdecode(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode() if isinstance(text, str) else text)

    def commit(self, files: Mapping[str | bytes, str | bytes], message: str = "Change") -> str:
        """Write files, commit everything, and return the commit's id."""
        self.write(files)
        self("add", "--all")
        self("commit", "--quiet", "--no-verify", "-m", message)
        return self.head

    @property
    def head(self) -> str:
        return self("rev-parse", "HEAD")

    def staged(self, path: str) -> str:
        """Return what of a file is staged."""
        return self("cat-file", "blob", f":{path}")

    def hook(self, name: str, script: str) -> None:
        """Set a hook, a shell script."""
        place = Path(self("rev-parse", "--absolute-git-dir")) / "hooks" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"#!/bin/sh\n{script}\n")
        place.chmod(0o755)

    def with_remote(self, bare: Path, name: str = "origin") -> Repo:
        """Make a bare repository, push `main` there, follow it, and return it."""
        remote = Repo.make(bare, "--bare")
        self("remote", "add", name, str(bare))
        self("push", "--quiet", "--set-upstream", name, "HEAD")
        return remote

    def other_clone(self, place: Path, remote: str = "origin") -> Repo:
        """Return another clone of a remote of this one."""
        subprocess.run(
            ["git", "clone", "--quiet", self("remote", "get-url", remote), str(place)], check=True, capture_output=True
        )
        return Repo(place)
