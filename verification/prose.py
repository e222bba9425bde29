"""python -m verification.prose [--count] [PATH ...]: refuse text that is hard to read.

Looks at docstrings and comments of .py and .pxd files, at their identifiers, and at .md pages.
Prints `path:line: found: rule / suggestion`, and exits with 1 if it has found anything.
"""

from __future__ import annotations

import argparse
import ast
import functools
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from verification.retired_words import FOREIGN_NAMES, OLD_PUBLIC_NAMES, RETIRED_WORDS

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "tests", "bench", "demo", "examples", "soak", "fuzz", "verification", "docs")
SUFFIXES = (".py", ".pxd", ".md")
CHINESE = ROOT / "docs" / "zh"  # the rules are about English
_QUOTED = FOREIGN_NAMES | OLD_PUBLIC_NAMES


class Finding(NamedTuple):
    line: int
    found: str
    advice: str


class Rule(NamedTuple):
    pattern: re.Pattern[str]
    advice: str


def _rule(pattern: str, advice: str) -> Rule:
    return Rule(re.compile(pattern.replace(" ", r"\s+")), advice)


_NOUN_FIRST = "begins with a clause / begin with the noun or with a verb"
_SAME = (
    r"The same(?= (?:one|as|for|in|of|by|to|with|without|from|at|on|but|once|after|it)\b|[^\w\s])"
)
# In the first sentence of a docstring. A question may begin so.
FIRST_WORDS = [
    _rule(r"\A\s*(What|Who|Whom|Whoever|Of|So many|So long)\b(?![^.:;]*\?)", _NOUN_FIRST),
    _rule(rf"\A\s*({_SAME})", _NOUN_FIRST),
]
_WHO_ADVICE = '"who" without a noun / "the thread that ...", "a caller that ..."'
_STANDS_FOR = r"(?! (?:for|by|in|alone|apart|still|beside|between|out|up)\b)"
RULES = [
    _rule(r"\b(Who [a-z`][^.;?!]*)(?=[.;!]|\Z)", _WHO_ADVICE),
    _rule(r"(?:,|\b(?:by|to|for|from|of|with|and|or|but|than|as)) (who)\b(?!')", _WHO_ADVICE),
    _rule(r"\b([Ww]ho(?:m)?ever)\b", _WHO_ADVICE),
    _rule(r"\b([Hh]e|[Hh]im|[Hh]is|[Hh]imself)\b", 'a person / "it", "its", "they"'),
    _rule(
        r"\b(?:is|are|was|were|be|been|being|gets?)(?: not| also)? (told)\b"
        r"(?! (?:to|apart|from)\b)",
        'private word / "is notified", "completes", "receives", "is reported"',
    ),
    _rule(rf"\b(stands|stood)\b{_STANDS_FOR}", 'private word / "is established", "is", "remains"'),
]

_BETWEEN_STATEMENTS = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_PHRASES = [_rule(rf"\b({key})\b", new) for key, new in RETIRED_WORDS.items() if " " in key]
_PREFIXES = {key[:-1]: new for key, new in RETIRED_WORDS.items() if key.endswith("*")}


@functools.cache
def retired(identifier: str, is_code: bool) -> str | None:
    """The word to use instead of `identifier`, or of a part of it; None if it is not retired."""
    if identifier in _QUOTED:
        return None
    for name in (identifier, identifier.lstrip("_")):
        instead = RETIRED_WORDS.get(name) or (is_code and RETIRED_WORDS.get(f"{name}()"))
        if instead:
            return instead
    for part in _PART.findall(identifier):
        word = part.lower()
        for singular in (word, word.removesuffix("s")):
            if singular in RETIRED_WORDS:
                return RETIRED_WORDS[singular]
    return next((new for old, new in _PREFIXES.items() if identifier.startswith(old)), None)


def check_text(text: str, line: int = 1, is_docstring: bool = False) -> Iterator[Finding]:
    """Findings in `text`, whose first line is line number `line` of its file."""

    def finding(position: int, found: str, advice: str) -> Finding:
        return Finding(
            line + text.count("\n", 0, position), " ".join(found.split()[:3]).rstrip(":,"), advice
        )

    for rule in [*(FIRST_WORDS if is_docstring else ()), *RULES, *_PHRASES]:
        advice = rule.advice if "/" in rule.advice else f"retired word / {rule.advice}"
        for match in rule.pattern.finditer(text):
            yield finding(match.start(1), match[1], advice)
    for match in _IDENTIFIER.finditer(text):
        is_code = text[max(0, match.start() - 1) : match.start()] in ("`", ".")
        instead = retired(match[0], is_code)
        if instead is not None:
            yield finding(match.start(), match[0], f"retired word / {instead}")


def check_code(source: str) -> Iterator[Finding]:
    """Findings in docstrings, comments and identifiers. Consecutive comments are one text."""
    comment: list[str] = []
    first = 0
    before = tokenize.NEWLINE
    for kind, text, (line, _), _, _ in tokenize.generate_tokens(io.StringIO(source).readline):
        if kind == tokenize.COMMENT:
            if line != first + len(comment):
                yield from check_text("\n".join(comment), first)
                comment, first = [], line
            comment.append(text.lstrip("#: "))
        elif kind == tokenize.NAME and (instead := retired(text, is_code=True)):
            yield Finding(line, text, f"retired word / {instead}")
        elif kind == tokenize.STRING and before in _BETWEEN_STATEMENTS:
            yield from check_text(str(ast.literal_eval(text)), line, is_docstring=True)
        if kind not in (tokenize.COMMENT, tokenize.NL):
            before = kind
    yield from check_text("\n".join(comment), first)


def check_file(path: Path) -> list[Finding]:
    text = path.read_text(encoding="utf-8")
    check = check_text if path.suffix == ".md" else check_code
    return sorted(set(check(text)))


def files_of(paths: Sequence[Path]) -> Iterator[Path]:
    """Files to check, those of folders included; by default all of the project."""
    for path in paths or [
        ROOT / "setup.py",
        *sorted(ROOT.glob("*.md")),
        *map(ROOT.joinpath, FOLDERS),
    ]:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (
            file
            for file in inside
            if file == path
            or (
                file.suffix in SUFFIXES
                and not file.stem.endswith("_pb2")
                and not file.resolve().is_relative_to(CHINESE)
            )
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="verification.prose", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="files and folders; all")
    parser.add_argument("--count", action="store_true", help="only the findings per folder")
    options = parser.parse_args(arguments)
    counts: Counter[str] = Counter()
    for path in files_of(options.paths):
        name = path.resolve().relative_to(ROOT) if path.resolve().is_relative_to(ROOT) else path
        for finding in check_file(path):
            counts[str(name.parent)] += 1
            if not options.count:
                print(f"{name}:{finding.line}: {finding.found}: {finding.advice}")
    if options.count:
        for folder, count in sorted(counts.items()):
            print(f"{count:6}  {folder}")
    print(f"FAILED: {counts.total()} found" if counts else "PASSED: no findings")
    return 1 if counts else 0


if __name__ == "__main__":
    sys.exit(main())
