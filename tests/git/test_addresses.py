"""Which forge and which repository an address leads to."""

from __future__ import annotations

import pytest

from aidp_ext.git.remotes import parse_remote


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://github.com/ana/penguins.git", ("github.com", "ana/penguins")),
        ("https://github.com/ana/penguins", ("github.com", "ana/penguins")),
        ("https://github.com/ana/penguins/", ("github.com", "ana/penguins")),
        ("https://GitHub.com:443/Ana/Penguins.git", ("github.com", "Ana/Penguins")),
        ("https://git.example.org:8443/ana/penguins.git", ("git.example.org:8443", "ana/penguins")),
        ("http://127.0.0.1:8123/ana/penguins.git", ("127.0.0.1:8123", "ana/penguins")),
        ("http://[::1]:8123/ana/penguins.git", ("[::1]:8123", "ana/penguins")),
        ("https://gitlab.com/group/sub/deep/name.git", ("gitlab.com", "group/sub/deep/name")),
        ("git@github.com:ana/penguins.git", ("github.com", "ana/penguins")),
        ("github.com:ana/penguins", ("github.com", "ana/penguins")),
        ("git@gitlab.com:group/sub/name.git", ("gitlab.com", "group/sub/name")),
        ("ssh://git@github.com/ana/penguins.git", ("github.com", "ana/penguins")),
        ("ssh://git@git.example.org:2222/ana/penguins.git", ("git.example.org", "ana/penguins")),
        ("ssh://git@ssh.github.com:443/ana/penguins.git", ("github.com", "ana/penguins")),
        ("ssh://git@altssh.gitlab.com:443/ana/penguins.git", ("gitlab.com", "ana/penguins")),
        ("https://github.com/ana/.github.git", ("github.com", "ana/.github")),
        ("https://github.com/ana/a.git.git", ("github.com", "ana/a.git")),
        ("  https://github.com/ana/penguins\n", ("github.com", "ana/penguins")),
    ],
)
def test_addresses_of_repositories(url: str, found: tuple[str, str]) -> None:
    assert parse_remote(url) == found


@pytest.mark.parametrize(
    "url",
    [
        "",
        "penguins",
        "/home/ana/penguins.git",
        "../penguins",
        "C:/penguins/x",
        "c:\\penguins\\x",
        "file:///srv/penguins/x.git",
        "git://github.com/ana/penguins.git",
        "ext::sh -c true",
        "https://github.com",
        "https://github.com/penguins",
        "https:///ana/penguins",
        "https://github.com/ana/../penguins",
        "https://github.com/ana/%2e%2e",
        "https://github.com/ana/-penguins",
        "https://github.com/ana/pen guins",
        "https://github.com/ana/pen\nguins",
        "https://github.com/ana/penguins?token=x",
        "https://github.com/ana/penguins#x",
        "https://github.com:port/ana/penguins",
        "https://[::1/ana/penguins",
        "-oProxyCommand=true:ana/penguins\\",
    ],
)
def test_what_leads_to_no_forge(url: str) -> None:
    assert parse_remote(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://ghp_0123456789@github.com/ana/penguins.git",
        "https://x-access-token:ghp_0123456789@github.com/ana/penguins.git",
        "https://:@github.com/ana/penguins.git",
        "https://ana@github.com/ana/penguins.git",
        "https://github.com@evil.example.org/ana/penguins.git",
        "https://evil.example.org\\@github.com/ana/penguins.git",
        "ssh://git:secret@github.com/ana/penguins.git",
    ],
)
def test_an_address_with_a_user_or_a_password_is_refused(url: str) -> None:
    assert parse_remote(url) is None
