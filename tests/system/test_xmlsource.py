"""The XML dialect: lines and columns, and what is not well-formed."""

import pytest

from capkernel.system.diagnostics import DescriptionError
from capkernel.system.xmlsource import parse_document, parse_xml


def test_lines_and_columns_count_from_one():
    root = parse_xml("<a>\n  <b\n   c='1'/>\n</a>", "f")
    (child,) = root.children
    assert (child.where.line, child.where.column) == (2, 3)
    assert str(child.where) == "f:2:3"


def test_text_is_found_where_it_begins():
    assert parse_xml("<a>  <b/>\n\u00a0</a>", "f").text_at is None
    assert parse_xml("<a><![CDATA[x]]></a>", "f").text_at is not None


def test_attributes_of_other_namespaces_are_kept_apart():
    root = parse_xml('<a xmlns:n="u" n:b="1" c="2"/>', "f")
    assert root.attributes == {"c": "2"}
    assert root.foreign == ("b",)


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("<a>\n<b></a>", "mismatched tag", 2),
        ("", "no element found", 1),
        ("<a/>\n<a/>", "junk after document", 2),
        ("<a x='1'\n x='2'/>", "duplicate attribute", 2),
        ("<a>&eacute;</a>", "undefined entity", 1),
        ("<!DOCTYPE a [<!ENTITY e 'x'>]>\n<a>&e;</a>", "document type declaration", 1),
        (b"<a>\n\xff</a>", "not UTF-8", 2),
        ("<n:a/>", "unbound prefix", 1),
    ],
)
def test_not_well_formed(text, reason, line):
    with pytest.raises(DescriptionError, match=reason) as refused:
        parse_xml(text, "f")
    (diagnostic,) = refused.value.diagnostics
    assert diagnostic.line == line


def test_the_encoding_is_utf8_whatever_is_declared():
    text = '<?xml version="1.0" encoding="ISO-8859-1"?><a b="ü"/>'
    assert parse_xml("\ufeff" + text, "f").attributes == {"b": "ü"}


def test_processing_instructions_are_kept_with_their_places_but_not_those_in_comments():
    text = "<?one a?>\n<a>\n  <?two b='c'\n d?><!-- <?three?> --><![CDATA[<?four?>]]></a>\n<?five?>"
    found = parse_document(text, "f").instructions
    assert [(i.target, i.text, str(i.where)) for i in found] == [
        ("one", "a", "f:1:1"),
        ("two", "b='c'\n d", "f:3:3"),
        ("five", "", "f:5:1"),
    ]
