"""Secrets and personal data to plant: one example of each form, all invented (or published as examples).

Tokens are put together here so that this file holds none that a scanner of repositories would take for real.
"""

from __future__ import annotations

_HEX = "0123456789abcdef"
_MIX = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9"
_LONG = (_MIX * 4)[:80]

SECRETS = [
    ("aws-access-key", "AKIA" + "IOSFODNN7EXAMPLE"),
    ("azure-storage-key", "AccountKey=" + _LONG + "abcd12=="),
    ("artifactory-token", "AKC" + "p8hBz9KqR3tLxY5w"),
    ("discord-token", "MTk4NjIyNDgzNDcxOTI1MjQ4" + ".Cl2FMQ." + "ZnCjm1XVW7vRze4b7Cq4se7kKWs"),
    ("github-token", "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"),
    ("github-token", "github_pat_" + "11ABCDEFG0abcdefghijkl_" + _LONG[:59].replace("-", "")),
    ("gitlab-token", "glpat-" + "aB3dE5gH7jK9mN1pQ3sT"),
    ("gitlab-token", "gldt-" + "aB3dE5gH7jK9mN1pQ3sT"),
    ("mailchimp-key", _HEX * 2 + "-us12"),
    ("pypi-token", "pypi-" + "AgEIcHlwaS5vcmc" + _LONG),
    ("sendgrid-key", "SG." + _MIX[:22] + "." + (_MIX * 2)[:43]),
    ("slack-token", "xoxb-" + "123456789012-1234567890123-" + _MIX[:24]),
    ("slack-token", "https://hooks.slack.com" + "/services/T00000001/B00000001/" + _MIX[:24]),
    ("slack-token", "xapp-1-" + "A0123456789-" + _HEX),
    ("square-token", "sq0csp-" + (_MIX * 2)[:43]),
    ("stripe-key", "sk_live_" + _MIX[:24]),
    ("stripe-key", "sk_test_" + _MIX[:24]),
    ("telegram-token", "123456789:" + "AA" + (_MIX * 2)[:33]),
    ("twilio-key", "SK" + _HEX * 2),
    ("openai-key", "sk-" + "proj-abc123DEF456ghi789JKL012mno345"),
    ("openai-key", "sk-" + "aB3dE5gH7jK9mN1pQ3sT" + "T3BlbkFJ" + "aB3dE5gH7jK9mN1pQ3sT"),
    ("anthropic-key", "sk-ant-" + "api03-abcDEF123_456-ghiJKL789mnoPQR"),
    ("huggingface-token", "hf_" + (_MIX * 2)[:34]),
    ("google-key", "AIza" + "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY"),
    ("databricks-token", "dapi" + _HEX * 2),
    ("npm-token", "npm_" + (_MIX * 2)[:36]),
    ("api-key", "gsk_" + (_MIX * 2)[:52]),
    ("json-web-token", "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9Plg"),
]

PERSONAL = [
    ("email", "ana.garcia+work@mail.example.org"),
    ("email", "o'neil@example.co.uk"),
    ("email", "jürgen@müller.example"),
    ("phone", "+49 30 901820"),
    ("phone", "+4915112345678"),
    ("phone", "+1 (555) 123-4567"),
    ("phone", "+44 20 7946 0958"),
    ("phone", "0049 151 2345678"),
    ("phone", "(555) 123-4567"),
    ("phone", "555-123-4567"),
    ("phone", "030/901820"),
    ("phone", "0151 23456789"),
    ("phone", "020 7946 0958"),
    ("phone", "01 23 45 67 89"),
    ("card", "4111 1111 1111 1111"),
    ("card", "5555-5555-5555-4444"),
    ("card", "378282246310005"),
    ("card", "3782 822463 10005"),
    ("card", "6011111111111117"),
    ("iban", "DE89 3704 0044 0532 0130 00"),
    ("iban", "GB82WEST12345698765432"),
    ("iban", "fr1420041010050500013m02606"),
    ("ip", "10.1.2.34"),
    ("ip", "203.0.113.77"),
    ("ip", "2001:db8::8a2e:370:7334"),
    ("ip", "fe80::1ff:fe23:4567:890a"),
]
