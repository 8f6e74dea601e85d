"""Blueprint text and its tree.

In:    text (a file's, or a bundle's).
Out:   `parse` -> (tree, problems); `format_file` -> text; `to_json`, `from_json` and `json_schema`.
Never: raises on any input; knows what a name means.
"""
