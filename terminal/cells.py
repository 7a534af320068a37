"""Cells of a table: texts in a form that a spreadsheet shows and saves unchanged, and the way back from it.

A spreadsheet takes what looks like a number, a date or a formula for one. When it saves the file, leading zeros, the
digits of a long id and the form of a date are lost, and a formula may do harm (OWASP, "CSV Injection"). `="00123"` is a
formula whose value is a text.
"""

import re

# Texts that stand for what is no text. They are read as such in every table.
NOT_SENT = "<not sent>"  # the record sends no such field
MISSING = "<missing>"  # the row ends before this column
# Headings of columns that are no fields.
MORE = "<more cells>"  # what a row has behind the last column
REASON = "<refused because>"

LITERAL = (
    120  # characters of one text in a formula: Excel takes 255, and each quote counts twice
)
BEGINNING = '="'  # of a protected cell, within quotes of its table too
PROTECTED = re.compile(r'="(?:[^"]|"")*"(?:&"(?:[^"]|"")*")*')
TEXTS = re.compile(r'"((?:[^"]|"")*)"')
# A spreadsheet leaves alone what begins with a letter and has no digit, but for TRUE and FALSE.
PLAIN = re.compile(r"(?!(?:true|false)\s*\Z)[^\W\d_][^\d\r\t]*|", re.IGNORECASE)
NO_FIELDS = (MORE, REASON)


def protected(text: str) -> str:
    """Return a text as a cell that a spreadsheet leaves as it is."""
    if PLAIN.fullmatch(text):
        return text
    starts = range(0, len(text), LITERAL)
    parts = [text[start : start + LITERAL].replace('"', '""') for start in starts]
    return "=" + "&".join(f'"{part}"' for part in parts)


def text_of(cell: str) -> str:
    """Return the text of a cell: of `="00123"` it is 00123."""
    if not (cell.startswith(BEGINNING) and PROTECTED.fullmatch(cell)):
        return cell
    return "".join(TEXTS.findall(cell)).replace('""', '"')
