"""Places in a text, and what we say about them.

In:    a `Source` (a name and its text).
Out:   `Span`, `Diagnostic`, `Code`, `suggest` ("did you mean") and `render`, which draws a diagnostic for a terminal.
Never: any other room. Nothing here knows what a blueprint means.
"""

from temper.text.codes import Code, Severity
from temper.text.diagnostic import Diagnostic, Fix, Label
from temper.text.draw import render
from temper.text.source import Position, Source, Span
from temper.text.suggest import suggest

__all__ = ["Code", "Diagnostic", "Fix", "Label", "Position", "Severity", "Source", "Span", "render", "suggest"]
