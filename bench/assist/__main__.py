"""``python -m bench.assist --url http://127.0.0.1:8080/v1 --model NAME``: the same with a better one; kept nowhere."""

from __future__ import annotations

import argparse

from bench import assist, figures


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench.assist", description=__doc__)
    parser.add_argument("--url", default="", help="OpenAI's base URL of a model server; a small model of ours without")
    parser.add_argument("--model", default="auto:local", help="its model; what the router chooses without")
    parser.add_argument("--places", type=int, default=assist.EACH, help="how many places in each notebook")
    given = parser.parse_args()
    print(figures.as_text(assist.run(given.url, given.model, given.places)))


if __name__ == "__main__":
    main()
