"""The whole book of benchmarks, or some chapters of it: ``python -m tests.benchmarks --help``.

Each chapter measures ours beside other packages, or beside ours under other conditions, in one run on the same data.
What was found goes to ``book.json``, as a table to ``book.md``, and as a chart and tables to ``book.html``.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from fmnist_dask.errors import nearest
from tests.benchmarks import pages
from tests.benchmarks.book import CHAPTERS, chapters_of_book, empty_book, title_of
from tests.benchmarks.settings import DIRECTORY, SIZES, Settings, data_directory, hush


def arguments() -> argparse.ArgumentParser:
    """What can be asked."""
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="chapters to run; by default all")
    parser.add_argument("--list", action="store_true", help="name the chapters, and run none")
    parser.add_argument(
        "--size",
        choices=SIZES,
        default="usual",
        help="tiny: seconds, no data needed; usual: the README's; large: hours",
    )
    parser.add_argument("--repeat", type=int, metavar="N", help="runs of each side; by default as each chapter has it")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the book goes [default: benchmarks/<date>]")
    parser.add_argument("--markdown", action="store_true", help="print the table, too")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help=f"where stores are kept [{DIRECTORY}]")
    return parser


def main() -> int:
    """Run the chapters, write the book; 1 where a chapter failed."""
    parser = arguments()
    given = parser.parse_args()
    for name in given.chapters:
        if name not in CHAPTERS:
            parser.error(f"there is no chapter {name!r}: {nearest(name, CHAPTERS)}; --list names them all")
    if given.list:
        for name in CHAPTERS:
            print(f"{name:<18}{title_of(name)}")
        return 0
    if given.repeat is not None and given.repeat < 1:
        parser.error("--repeat takes 1 or more")
    settings = Settings(given.size, given.directory, None if given.size == "tiny" else data_directory())
    out = given.out or Path("benchmarks") / f"{datetime.now(UTC):%Y-%m-%d}"
    out.mkdir(parents=True, exist_ok=True)
    hush()
    book = empty_book(settings)
    for chapter in chapters_of_book(given.chapters or CHAPTERS, settings, given.repeat):
        book.chapters.append(chapter)
        # After each chapter: a book that is stopped has all that came before.
        (out / "book.json").write_text(json.dumps(book.as_json(), indent=1, ensure_ascii=False), encoding="utf-8")
    (out / "book.md").write_text(pages.markdown(book), encoding="utf-8")
    (out / "book.html").write_text(pages.html(book), encoding="utf-8")
    if given.markdown:
        print(f"\n{pages.markdown(book)}")
    print(f"\n{len(book.rows)} rows: {out / 'book.json'}, {out / 'book.md'}, {out / 'book.html'}")
    for row in book.rows:
        if row.agrees is False:
            print(f"not the same result: {row.chapter}: {row.what}", file=sys.stderr)
    for chapter in book.failed:
        print(f"failed: {chapter.name}: {chapter.error}", file=sys.stderr)
    return 1 if book.failed else 0


if __name__ == "__main__":
    sys.exit(main())
