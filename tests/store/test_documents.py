"""Documents with long lists, read item by item: what comes out, and that no byte can differ from what was written."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from fly64dask.base import Frozen, IntegrityError
from fly64dask.store import LongDocument, write_document


class Item(Frozen):
    """An item of a long list."""

    words: str
    numbers: tuple[float, ...] = ()


class Head(Frozen):
    """A document without its long lists; `few` is a list of its own."""

    name: str
    few: tuple[Item, ...] = ()


ITEMS = st.lists(
    st.builds(Item, words=st.text(), numbers=st.tuples(st.floats(allow_nan=False, allow_infinity=False))), max_size=3
)


def written(folder, *, head, these, those):
    path = folder / "document.json"
    write_document(path, head, long_lists={"these": these, "those": those})
    return path


def opened(path):
    return LongDocument.opened(path, lists=("these", "those"), remedy="make it again")


@given(name=st.text(), few=ITEMS, these=ITEMS, those=ITEMS)
def test_head_and_items_are_those_that_were_written(tmp_path_factory, name, few, these, those):
    head = Head(name=name, few=tuple(few))
    document = opened(written(tmp_path_factory.mktemp("long"), head=head, these=these, those=those))
    assert document.head(Head) == head
    assert [list(document.items(which, Item)) for which in ("these", "those")] == [these, those]


def test_a_changed_byte_is_found_before_anything_is_read(tmp_path):
    path = written(tmp_path, head=Head(name="a"), these=[Item(words="b")], those=[])
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(IntegrityError):
            opened(path)


def test_a_document_that_is_cut_off_is_damaged(tmp_path):
    path = written(tmp_path, head=Head(name="a"), these=[Item(words="b")], those=[])
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(IntegrityError, match="is not a document with its SHA-256"):
        opened(path)


def test_an_item_of_another_schema_is_named_with_the_file(tmp_path):
    document = opened(written(tmp_path, head=Head(name="a"), these=[Item(words="b")], those=[]))
    with pytest.raises(IntegrityError, match=r"document\.json does not have the schema of this version"):
        list(document.items("these", Head))
