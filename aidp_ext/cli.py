"""The `aidp` command: `aidp lab`, `aidp hub`, `aidp hub check`, `aidp doctor`, `aidp audit`. What `make` calls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dotenv import load_dotenv

from aidp_ext._version import __version__
from aidp_ext.core.errors import AidpError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 1 failed, 2 cannot be started."""
    args = _parser().parse_args(argv)
    # Read, never written. What is set already wins, so that `VARIABLE=… aidp lab` does what it says.
    load_dotenv(Path.cwd() / ".env", override=False)
    try:
        status: int = args.run(args)
    except AidpError as error:
        print(f"aidp: {error.code}: {error.message}", file=sys.stderr)
        if error.next_step:
            print(f"  → {error.next_step}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aidp", description="An AI-assisted JupyterLab, for one person or a team.")
    parser.add_argument("--version", action="version", version=f"aidp {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    lab = commands.add_parser("lab", help="JupyterLab for one person")
    lab.add_argument("folder", nargs="?", default=".", type=Path, help="where your notebooks are (here)")
    lab.add_argument("--port", type=int, help="the port (8888, or the next free one)")
    lab.add_argument("--no-browser", action="store_true", help="open no browser window")
    lab.set_defaults(run=_lab)

    hub = commands.add_parser("hub", help="JupyterHub for a team")
    hub.add_argument("--port", type=int, help="the port (AIDP_HUB_PORT, or 8000)")
    hub.add_argument("--new-password", action="store_true", help="make a new password for the local sign-in")
    hub.set_defaults(run=_hub)
    parts = hub.add_subparsers(metavar="[check]")
    check = parts.add_parser("check", help="look at everything that the hub needs, and start nothing")
    check.add_argument("--json", action="store_true", help="as JSON")
    check.set_defaults(run=_hub_check)

    doctor = commands.add_parser("doctor", help="what is here, what is missing, and the next step")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    doctor.set_defaults(run=_doctor)

    audit = commands.add_parser("audit", help="check the audit record, or read the content that an admin had kept")
    actions = audit.add_subparsers(required=True, metavar="action")
    verify = actions.add_parser("verify", help="check that the record is whole")
    verify.add_argument("file", type=Path, nargs="?", help="the record (the one of your own server)")
    verify.set_defaults(run=_audit, action="run_verify")
    new_key = actions.add_parser("new-key", help="make a pair of keys for keeping the content of calls")
    new_key.add_argument("folder", type=Path, nargs="?", default=".", help="where to put them (here)")
    new_key.set_defaults(run=_audit, action="run_new_key")
    show = actions.add_parser("show", help="read the content of a call")
    show.add_argument("file", type=Path, help="content/<call>.sealed in the server's state folder")
    show.add_argument("--key", type=Path, required=True, help="the private key")
    show.set_defaults(run=_audit, action="run_show")
    return parser


# Each command is imported when it is run: `aidp lab` must not pay for the hub.


def _lab(args: argparse.Namespace) -> int:
    from aidp_ext.commands import lab

    lab.run(args.folder, port=args.port, browser=not args.no_browser)


def _hub(args: argparse.Namespace) -> int:
    from aidp_ext.commands import hub

    return hub.run(args)


def _hub_check(args: argparse.Namespace) -> int:
    from aidp_ext.commands import hub_check

    return hub_check.run(args)


def _doctor(args: argparse.Namespace) -> int:
    from aidp_ext.commands import doctor

    return doctor.run(as_json=args.json)


def _audit(args: argparse.Namespace) -> int:
    from aidp_ext.commands import audit

    run: Callable[[argparse.Namespace], int] = getattr(audit, args.action)
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
