"""For the reference: parameters, which our docstrings name at the beginnings of lines, as a table.

    device: "auto" is CUDA where there is one; else as torch names it.

An extension of griffe, which reads docstrings for mkdocstrings; see mkdocs.yml.
"""

import re

import griffe

ROLE = re.compile(r":(?:func|class|meth|attr|mod):`~?([^`]+)`")


class Parameters(griffe.Extension):
    """Puts paragraphs of ``name: what it is`` under the title that Google's style has for them."""

    def on_function(self, *, func: griffe.Function, **_) -> None:
        if func.docstring is not None:
            names = [parameter.name for parameter in func.parameters if parameter.name != "self"]
            func.docstring.value = with_titles(func.docstring.value, names)

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(r"`\1`", obj.docstring.value).replace("``", "`")


def with_titles(docstring: str, names: list[str]) -> str:
    """The docstring, whose paragraphs that begin with one of these names have become a list of them."""
    if not names:
        return docstring
    start = re.compile(rf"(?:{'|'.join(map(re.escape, names))})(?:, \w+)*: ")
    paragraphs = []
    for paragraph in docstring.split("\n\n"):
        if start.match(paragraph):
            lines = paragraph.splitlines()
            joined = [f"    {line}" for line in lines]
            paragraphs.append("\n".join(["Args:", *joined]))
        else:
            paragraphs.append(paragraph)
    return "\n\n".join(paragraphs)
