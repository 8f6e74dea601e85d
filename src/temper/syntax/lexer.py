"""Tokens: the words, numbers, texts and signs of a source, line by line.

Nothing is refused here: what can't be a token is reported, and left out or read as what it was meant for.
"""

from __future__ import annotations

import re

from msgspec import Struct, field

from temper.syntax.words import DURATION_UNITS
from temper.text import Code, Diagnostic, Fix, Label, Source, Span, suggest

# A page is 3,000 characters and a large generated blueprint 200,000; beyond this a file is a mistake.
SOURCE_LENGTH_MAX = 1_000_000
# Python refuses to read numbers of more than 4,300 digits, for good reason; nobody writes a tenth of that.
NUMBER_LENGTH_MAX = 400
# Past this many problems in a file the rest is noise, and an attack would be cheap.
PROBLEMS_MAX = 100

LOWER, UPPER, INT, DEC, DURATION, STRING, SIGN, BAD, END = range(9)
"""Kinds of tokens. A keyword is told by its text: no text of a `STRING` or a number can be one."""

_TOKEN = re.compile(
    r"""[ ]*(?:
      ([a-z_][A-Za-z0-9_]*)                                      # 1 a lower word
    | ([A-Z][A-Za-z0-9_]*)                                       # 2 an upper word
    | (===|!==|\.\.\.|\*\*|\+\+|--|==|!=|<=|>=|=>|<>|:=|\?\?|\+=|-=|->|//|\.\.|&&|\|\||[-+*%&<>=.,:()\[\]{}?!;/])  # 3
    | (\r?\n)                                                    # 4 a line's end
    | ([0-9][0-9_]*(?:\.[0-9][0-9_]*)?[A-Za-z0-9_]*)             # 5 a number or a duration
    | ("[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"?)                        # 6 a text
    | (\#[^\n]*)                                                 # 7 a comment
    | ('[^'\n]*'?|[\u201c\u201d][^"\u201c\u201d\n]*["\u201c\u201d])  # 8 a text in other quotes
    | (\t[ \t]*)                                                 # 9 tabs
    | (\r(?=\n|\Z))                                              # 10 a stray carriage return
    | (\Z)                                                       # 11 the end, perhaps behind spaces
    | ([^\W\x00-\x7f]\w*|.)                                      # 12 letters of other alphabets, or anything else
    )""",
    re.VERBOSE | re.DOTALL,
)
_LINE_END, _COMMENT, _TABS, _STRAY, _THE_END = 4, 7, 9, 10, 11

_DECIMAL = re.compile(r"[0-9]+(?:_[0-9]+)*\.[0-9]+(?:_[0-9]+)*")
_WHOLE = re.compile(r"[0-9]+(?:_[0-9]+)*")
_NUMBER_AND_WORD = re.compile(r"([0-9][0-9_]*(?:\.[0-9_]+)?)([A-Za-z]+)")
_COMPOUND = re.compile(r"(?:[0-9]+(?:ms|[smhd]))+")
_ESCAPE = re.compile(r"\\(?:u\{[^}\"]*\}?|.)?", re.DOTALL)
_CODE_POINT = re.compile(r"\\u\{([0-9a-fA-F]{1,6})\}")
_SIMPLE_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\r": "\r", '\\"': '"', "\\\\": "\\"}

# What other languages write, and what is written here. `None` has no counterpart.
_FOREIGN_SIGNS = {
    "===": "==", "!==": "!=", "<>": "!=", "&&": "and", "||": "or", "!": "not", ":=": "=",
    "++": None, "--": None, "**": None, "/": "//", "...": "..",
}  # fmt: skip
_FOREIGN_UNITS = {
    "w": None, "wk": None, "y": None, "us": None, "ns": None, "msec": "ms", "millis": "ms",
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
    "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "day": "d", "days": "d",
}  # fmt: skip
UNITS = {**{unit: unit for unit in DURATION_UNITS}, **{word: unit for word, unit in _FOREIGN_UNITS.items() if unit}}
"""The units of durations, by what people call them."""


class PhysicalLine(Struct, frozen=True):
    """A line of the file: its tokens from `first` up to `last`, and its comment."""

    first: int
    last: int
    indent: int
    comment: str | None
    brackets: tuple[int, ...]
    """The tokens that are brackets, in order."""


class Tokens(Struct):
    """All tokens of a source, as lists side by side, with what was wrong with them."""

    source: Source
    kinds: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    lines: list[PhysicalLine] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    """Offsets, in order, after which the rest of a line can't be trusted, so that one mistake is reported once."""


def lex(source: Source) -> Tokens:
    """Return the tokens of `source`. Comments belong to their lines; a byte order mark at the start is passed over."""
    tokens = Tokens(source)
    kinds, texts, starts, ends = tokens.kinds, tokens.texts, tokens.starts, tokens.ends
    text = source.text
    line_start = 1 if text.startswith("\ufeff") else 0
    tabs: list[tuple[int, int]] = []
    first = 0
    comment: str | None = None
    brackets: list[int] = []
    indent = -1
    for match in _TOKEN.finditer(text, line_start):
        group = match.lastindex
        assert group is not None, "each alternative is a group"
        start, end = match.span(group)
        if group == _LINE_END:
            lines_end = len(kinds)
            tokens.lines.append(PhysicalLine(first, lines_end, max(indent, 0), comment, tuple(brackets)))
            first, comment, indent = lines_end, None, -1
            brackets.clear()
            line_start = end
            continue
        if group == _TABS:
            if not _blank_after(text, end):
                tabs.append((start, end))
            continue
        if indent < 0:
            indent = start - line_start
            if tabs and tabs[-1][0] >= line_start:
                # What the fix makes of it: two spaces for a tab.
                indent += text.count("\t", line_start, start)
        if group == 1:
            kinds.append(LOWER)
        elif group == 3:
            sign = match[3]
            if sign in "()[]{}":
                brackets.append(len(kinds))
            elif sign == ";" or sign in _FOREIGN_SIGNS:
                read_as = _foreign_sign(tokens, sign, start, end)
                if read_as is not None:
                    kinds.append(LOWER if read_as.isalpha() else SIGN)
                    texts.append(read_as)
                    starts.append(start)
                    ends.append(end)
                continue
            kinds.append(SIGN)
        elif group == 2:
            kinds.append(UPPER)
        elif group == 5:
            kinds.append(_number(tokens, match[5], start, end))
        elif group == 6:
            _check_text(tokens, match[6], start, end)
            kinds.append(STRING)
        elif group == _COMMENT:
            body = match[7][1:].rstrip()
            comment = body.removeprefix(" ")
            continue
        elif group == 8:
            kinds.append(_other_quotes(tokens, match[8], start, end))
        elif group in {_STRAY, _THE_END}:
            continue
        else:
            _unexpected(tokens, match[12], start, end)
            continue
        texts.append(match[group])
        starts.append(start)
        ends.append(end)
    tokens.lines.append(PhysicalLine(first, len(kinds), max(indent, 0), comment, tuple(brackets)))
    if tabs:
        _report_tabs(tokens, tabs)
    return tokens


def unquote(token: str) -> str:
    """Return the text that a `STRING` token stands for; what is wrong with its escapes has been reported by `lex`."""
    body = token[1:-1] if len(token) > 1 and token[-1] in "\"'\u201c\u201d" else token[1:]
    if "\\" not in body or token[0] != '"':
        return body
    return _ESCAPE.sub(lambda match: _unescape(match[0]) or "", body)


def _unescape(escape: str) -> str | None:
    simple = _SIMPLE_ESCAPES.get(escape)
    if simple is not None:
        return simple
    code_point = _CODE_POINT.fullmatch(escape)
    if code_point is None:
        return None
    number = int(code_point[1], 16)
    return chr(number) if number < 0xD800 or 0xDFFF < number <= 0x10FFFF else None


def _report(
    tokens: Tokens,
    code: Code,
    message: str,
    start: int,
    end: int,
    *,
    label: str = "",
    help: str | None = None,
    fix: str | None = None,
    broken: bool = False,
) -> None:
    if broken:
        tokens.broken.append(start)
    if len(tokens.problems) >= PROBLEMS_MAX:
        return
    span = Span(tokens.source.name, start, end)
    tokens.problems.append(
        Diagnostic(code, message, Label(span, label), help=help, fix=None if fix is None else Fix(span, fix))
    )


def _blank_after(text: str, offset: int) -> bool:
    return offset >= len(text) or text[offset] in "\r\n"


def _foreign_sign(tokens: Tokens, sign: str, start: int, end: int) -> str | None:
    if sign == ";":
        _report(
            tokens,
            Code.B009,
            "unexpected `;`",
            start,
            end,
            help="a line ends where it ends; put what follows on a line of its own",
            fix="",
        )
        return None
    meant = _FOREIGN_SIGNS[sign]
    if meant is None:
        helps = {
            "++": "write `set f += 1`",
            "--": "write `set f -= 1`",
            "**": "write the product out: `a * a`",
        }
        _report(tokens, Code.B008, f"unknown operator `{sign}`", start, end, help=helps[sign], broken=True)
        return None
    if sign == "/":
        _report(
            tokens,
            Code.B008,
            "unknown operator `/`",
            start,
            end,
            help="division is `//`: the floor of whole numbers, exact for decimals",
            fix="//",
        )
        return meant
    # `not` needs the space that `!` does without.
    fix = meant + " " if sign == "!" else meant
    _report(tokens, Code.B008, f"unknown operator `{sign}`", start, end, help=f"write `{meant}`", fix=fix)
    return meant


def _number(tokens: Tokens, text: str, start: int, end: int) -> int:
    if len(text) > NUMBER_LENGTH_MAX:
        _report(
            tokens,
            Code.B006,
            "number is too long",
            start,
            end,
            help=f"a number has at most {NUMBER_LENGTH_MAX} characters",
            broken=True,
        )
        return BAD
    if text.isdigit() or _WHOLE.fullmatch(text):
        return INT
    if _DECIMAL.fullmatch(text):
        return DEC
    parts = _NUMBER_AND_WORD.fullmatch(text)
    if parts is None:
        if _COMPOUND.fullmatch(text):
            pairs = re.findall(r"([0-9]+)(ms|[smhd])", text)
            total = sum(int(count) * DURATION_UNITS[unit] for count, unit in pairs)
            unit = min((unit for _, unit in pairs), key=DURATION_UNITS.__getitem__)
            meant = f"{total // DURATION_UNITS[unit]}{unit}"
            _report(
                tokens,
                Code.B007,
                f"unreadable duration `{text}`",
                start,
                end,
                label="two units",
                help=f"a duration has one unit: `{meant}`",
                fix=meant,
            )
            return BAD
        _report(
            tokens,
            Code.B006,
            f"unreadable number `{text}`",
            start,
            end,
            help="digits may be parted by single `_`, as in `1_000`; a name begins with a letter",
            broken=True,
        )
        return BAD
    digits, unit = parts[1], parts[2]
    if unit in DURATION_UNITS and _WHOLE.fullmatch(digits):
        return DURATION
    known = DURATION_UNITS.keys()
    fix: str | None = None
    help = "the units are `ms`, `s`, `m`, `h` and `d`"
    if unit in known and _DECIMAL.fullmatch(digits):
        help = "a duration is a whole number of its unit: `90m`, not `1.5h`"
        _report(tokens, Code.B007, f"unreadable duration `{text}`", start, end, help=help, broken=True)
        return BAD
    meant_unit = _FOREIGN_UNITS.get(unit.lower()) or (
        suggest(unit, known) if unit.lower() not in _FOREIGN_UNITS else None
    )
    if meant_unit is not None and _WHOLE.fullmatch(digits):
        fix = digits + meant_unit
        help = f"write `{fix}`; {help}"
    elif unit in {"w", "wk"} and _WHOLE.fullmatch(digits):
        fix = f"{int(digits) * 7}d"
        help = f"write `{fix}`; {help}"
    _report(tokens, Code.B007, f"unknown unit `{unit}`", start + len(digits), end, help=help, broken=True)
    if fix is not None and len(tokens.problems) < PROBLEMS_MAX:
        last = tokens.problems.pop()
        whole = Span(tokens.source.name, start, end)
        tokens.problems.append(Diagnostic(last.code, last.message, last.primary, help=last.help, fix=Fix(whole, fix)))
    return BAD


def _check_text(tokens: Tokens, text: str, start: int, end: int) -> None:
    if len(text) < 2 or not text.endswith('"') or _ends_in_escape(text):
        shown_end = start + len(text.rstrip())
        _report(
            tokens,
            Code.B003,
            'text without its closing `"`',
            start,
            max(shown_end, start + 1),
            help='a text ends on its own line, with `"`; write `\\n` for a line end within it',
            broken=True,
        )
        return
    if "\\" not in text:
        return
    for match in _ESCAPE.finditer(text, 1, len(text) - 1):
        if _unescape(match[0]) is None:
            _report(
                tokens,
                Code.B005,
                f"unknown escape `{match[0]}`",
                start + match.start(),
                start + match.end(),
                help='the escapes are `\\n`, `\\t`, `\\r`, `\\"`, `\\\\` and `\\u{1F600}`',
            )


def _ends_in_escape(text: str) -> bool:
    """Return whether the last quote is escaped."""
    backslashes = len(text) - 1 - len(text[:-1].rstrip("\\"))
    return backslashes % 2 == 1


def _other_quotes(tokens: Tokens, text: str, start: int, end: int) -> int:
    if text[0] == "'" and (len(text) < 2 or not text.endswith("'")):
        _report(
            tokens,
            Code.B004,
            "unexpected `'`",
            start,
            start + 1,
            help='a text stands in double quotes: `"..."`',
            broken=True,
        )
        return BAD
    inner = text[1:-1].replace("\\'", "'").replace('"', '\\"')
    kind = "single" if text[0] == "'" else "curly"
    meant = f'"{inner}"'
    _report(tokens, Code.B004, f"text in {kind} quotes", start, end, help=f"write `{meant}`", fix=meant)
    return STRING


def _unexpected(tokens: Tokens, char: str, start: int, end: int) -> None:
    shown = char if char.isprintable() else f"U+{ord(char):04X}"
    what = "character" if len(char) == 1 else "letters"
    help: str | None = None
    fix: str | None = None
    meant = {
        "\u2018": '"',
        "\u2019": '"',
        "\u2192": "->",
        "\u2264": "<=",
        "\u2265": ">=",
        "\u2260": "!=",
        "\u2013": "-",
        "\u2212": "-",
        "\u00a0": " ",
        "\u2227": "and",
        "\u2228": "or",
        "\u00ac": "not ",
    }
    if char in meant:
        fix = meant[char]
        help = f"write `{fix.strip()}`" if fix.strip() else "write a plain space"
    elif char[0].isalpha():
        help = "names are made of the letters `a` to `z`, digits and `_`"
    elif char == "|":
        help = "write `or` between conditions, `one of (a, b)` for a choice of words, `T?` for what may be `none`"
    elif char in "@$`~^\\":
        help = "comments begin with `#`; a text stands in double quotes"
    _report(tokens, Code.B001, f"unexpected {what} `{shown[:40]}`", start, end, help=help, fix=fix, broken=True)


def _report_tabs(tokens: Tokens, tabs: list[tuple[int, int]]) -> None:
    """Report all tabs of the file as one mistake, with one fix."""
    text = tokens.source.text
    pieces: list[str] = []
    at = tabs[0][0]
    for start, end in tabs:
        pieces += [text[at:start], text[start:end].replace("\t", "  ")]
        at = end
    name = tokens.source.name
    start, end = tabs[0]
    lines = len({tokens.source.position(tab[0]).line for tab in tabs})
    message = "tab" if lines == 1 else f"tabs, on {lines} lines"
    tokens.problems.append(
        Diagnostic(
            Code.B002,
            message,
            Label(Span(name, start, end)),
            help="indent with spaces, two for each level",
            fix=Fix(Span(name, start, tabs[-1][1]), "".join(pieces)),
        )
    )
