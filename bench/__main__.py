"""``python -m bench [router] [ledger] …``: measure, show, keep; exit code 1 where a limit is missed."""

from __future__ import annotations

import argparse

from bench import (
    assist,
    bundle,
    containers,
    context,
    deciding,
    experiments,
    figures,
    git,
    hub,
    lab,
    ledger,
    metric_logging,
    redaction,
    router,
    scrolling,
    startup,
    stopping,
)

BENCHMARKS = {
    "bundle": bundle.run,
    "startup": startup.run,
    "router": router.run,
    "deciding": deciding.run,
    "ledger": ledger.run,
    "redaction": redaction.run,
    "assist": assist.run,
    "lab": lab.run,
    "stopping": stopping.run,
    "context": context.run,
    "git": git.run,
    "experiments": experiments.run,
    "scrolling": scrolling.run,
    "logging": metric_logging.run,
    "hub": hub.run,
    "containers": containers.run,
}


def main() -> int:
    """Run the benchmarks that were asked for, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of {', '.join(BENCHMARKS)}; all without one")
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    missed = False
    for name in names:
        section = BENCHMARKS[name]()
        figures.save(name, section)
        print(figures.as_text(section), flush=True)
        missed |= not all(figure.is_met for figure in section.figures)
    figures.write_report([section for name in BENCHMARKS if (section := figures.load(name))])
    print("\na limit is missed" if missed else "\nall limits are met")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
