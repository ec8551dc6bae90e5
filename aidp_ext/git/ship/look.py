"""Short questions to a repository, between the steps of Ship. All take the repository first."""

from __future__ import annotations

from dataclasses import dataclass

from aidp_ext.git import work
from aidp_ext.git.command import Git
from aidp_ext.git.models import Remote
from aidp_ext.git.names import checked_name


@dataclass(frozen=True)
class Head:
    """A commit with what it holds and what it follows."""

    commit: str
    tree: str
    parent: str | None


async def head(git: Git) -> Head | None:
    """Return the commit that is checked out; None where there is none yet."""
    said = await git.read("log", "-1", "--no-show-signature", "--format=%H %T %P", "HEAD", "--", check=False)
    if said.returncode != 0:
        return None
    commit, tree, *parents = said.stdout.decode().split()
    return Head(commit, tree, parents[0] if parents else None)


async def commit_of(git: Git, name: str) -> str | None:
    """Return the commit that a branch's name stands for; None where there is none."""
    said = await git.read("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", check=False)
    return None if said.returncode else said.stdout.decode().split()[-1]


async def has_staged(git: Git) -> bool:
    """Return whether the index differs from HEAD."""
    if await head(git) is None:
        return bool((await git.read("ls-files", "--cached", "-z")).stdout)
    return (await git.read("diff", "--cached", "--quiet", "--no-ext-diff", check=False)).returncode != 0


async def is_behind(git: Git) -> bool:
    """Return whether the branch's upstream has commits that the branch has not; False without an upstream."""
    said = await git.read("rev-list", "--count", "HEAD..@{upstream}", "--", check=False)
    return said.returncode == 0 and said.stdout.strip() not in (b"", b"0")


async def is_pushed(git: Git, remote: str, name: str) -> bool:
    """Return whether a remote's branch, as it was last seen, is what is checked out."""
    said = await git.read("rev-parse", "--verify", "--quiet", f"refs/remotes/{remote}/{name}", check=False)
    now = await head(git)
    return now is not None and said.stdout.decode().strip() == now.commit


async def push_remote(git: Git) -> str | None:
    """Return the remote that the branch is set up to push to; None where it is not."""
    name = git.layout.branch()
    if name is None:
        return None
    for key in (f"branch.{name}.pushRemote", "remote.pushDefault", f"branch.{name}.remote"):
        said = await git.read("config", "--get", key, check=False)
        if found := said.stdout.decode().strip():
            return found
    return None


async def remote(git: Git) -> Remote | None:
    """Return the remote to push to: the branch's own, else ``origin``, else the only one; None where that is none."""
    remotes = await work.remotes(git)
    named = {one.name: one for one in remotes}
    return named.get(await push_remote(git) or "origin") or (remotes[0] if len(remotes) == 1 else None)


async def remote_branches(git: Git, remote: str) -> list[str]:
    """Return the branches of a remote as they were last seen, the latest first."""
    said = await git.read(
        "for-each-ref",
        "--sort=-committerdate",
        "--count=200",
        "--format=%(refname:lstrip=3)",
        f"refs/remotes/{remote}/",
    )
    return [name for name in said.stdout.decode(errors="replace").split("\n") if name and name != "HEAD"]


async def switch(git: Git, name: str) -> None:
    """Check out a branch, made from here where there is none; what is not committed comes along.

    Raises InvalidRequest, LocalChanges.
    """
    if git.layout.branch() == name:
        return
    checked_name(name, "branch")
    if (await git.read("show-ref", "--verify", "--quiet", f"refs/heads/{name}", check=False)).returncode:
        await work.create_branch(git, name)
    else:
        await git.write("switch", "--no-guess", name)
