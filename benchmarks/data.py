"""The data engine beside its peers: extraction, filters, the way from WARC to documents, Ray's cost, memory.

    python benchmarks/data.py [--corpus FOLDER] [--json] [--quick]
    python benchmarks/data.py --pages WARC --gold JSON [--json]     only extraction, on pages with gold text

Runs the benchmarks extraction.py, filters.py and pipeline.py one after the other, each with both sides in one run, and
gathers their figures. Without --corpus the pages are those of ../shared/data; with it, the WARC files of that folder
(when it is empty, ../shared/tools builds the corpus of 66,096 pages there first). --gold: a JSON object,
URL → {"articleBody": text}.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from _bench import SHARED, arguments, finish

HERE = Path(__file__).parent
FILTER_PAGES = "2000"


def figures_of(script: str, *options: str) -> dict[str, float | None]:
    """Run one of the benchmarks, its table shown, and return the figures of its last line."""
    print(f"\n{script} {' '.join(options)}", flush=True)
    command = [sys.executable, str(HERE / script), *options, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            if last:
                print(last, end="", flush=True)
            last = line
    if process.returncode != 0:
        sys.exit(f"{script} failed with exit code {process.returncode}")
    return json.loads(last)


def corpus_files(folder: Path) -> list[Path]:
    """The WARC files of the corpus; built first where there are none."""
    if not list(folder.glob("*.warc.gz")):
        tool = SHARED / "tools" / "build_web_corpus.py"
        if not tool.exists():
            sys.exit(f"no .warc.gz files in {folder}, and no {tool} to build them")
        subprocess.run([sys.executable, str(tool), str(folder)], check=True)
    return sorted(folder.glob("*.warc.gz"))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--corpus", type=Path, metavar="FOLDER", help="of .warc.gz files")
    parser.add_argument("--pages", metavar="WARC", help="score extraction on these pages only")
    parser.add_argument("--gold", metavar="JSON", help="their gold text")
    options = parser.parse_args()
    if (options.pages is None) != (options.gold is None):
        parser.error("--pages and --gold go together")
    quick = ["--quick"] if options.quick else []
    if options.pages:
        finish(figures_of("extraction.py", "--pages", options.pages, "--gold", options.gold, *quick), options.json)
        return
    warcs, folder = [], []
    if options.corpus:
        warcs = ["--warc", *map(str, corpus_files(options.corpus)), "--limit", FILTER_PAGES]
        folder = ["--warcs", str(options.corpus)]
    figures = figures_of("extraction.py", *quick)
    figures |= figures_of("filters.py", *warcs, *quick)
    figures |= figures_of("pipeline.py", *folder, *quick)
    figures |= figures_of("pipeline.py", *folder, "--scale", *quick)
    finish(figures, options.json)


if __name__ == "__main__":
    main()
