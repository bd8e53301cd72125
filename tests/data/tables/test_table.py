"""Examples on disk are the examples that were written."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.data import tables
from alignlab.data.reading.rows import user
from alignlab.data.tables.table import CHUNK, ExampleTable, Subset, write_table
from alignlab.types import Example

finite = st.floats(allow_nan=False, allow_infinity=False)


def numbered(count):
    return [
        Example(user(f"p{i}"), ["a", [{"role": "assistant", "content": "b"}]], [1.0, 0.0], id=str(i))
        for i in range(count)
    ]


@settings(max_examples=30, deadline=None)
@given(
    text=st.text(st.characters(codec="utf-8"), min_size=1),
    labels=st.lists(finite, min_size=1, max_size=4),
    meta=st.dictionaries(
        st.text(st.characters(codec="utf-8")), st.none() | st.booleans() | st.text(max_size=5)
    ),
    rated=st.booleans(),
)
def test_a_row_comes_back_as_it_was(tmp_path_factory, text, labels, meta, rated):
    folder = tmp_path_factory.mktemp("table")
    row = Example(user(text), [text] * len(labels), labels, labels if rated else None, 0.5, text, meta)
    write_table(folder, [row])
    (found,) = ExampleTable(folder)
    assert found == row
    assert ExampleTable(folder).rated == rated


def test_any_row_is_found_at_its_place(tmp_path):
    rows = numbered(2 * CHUNK + 3)
    assert write_table(tmp_path / "t", rows) == len(rows)
    table = ExampleTable(tmp_path / "t")
    assert list(table) == rows
    assert table.ids == [row.id for row in rows]
    assert table.sizes.tolist() == [2] * len(rows)
    for place in (0, CHUNK - 1, CHUNK, 2 * CHUNK, -1):
        assert table[place] == rows[place]
    assert table[CHUNK - 1 : CHUNK + 2] == rows[CHUNK - 1 : CHUNK + 2]


def test_tables_of_equal_rows_have_equal_content(tmp_path):
    rows = numbered(CHUNK + 9)
    for name, written in {
        "a": rows,
        "b": rows[: CHUNK + 3],
        "swapped": [rows[1], rows[0], *rows[2:]],
        "labels": [replace(rows[0], labels=[0.0, 1.0]), *rows[1:]],
    }.items():
        write_table(tmp_path / name, written)
    contents = {name: ExampleTable(tmp_path / name).content for name in ("a", "b", "swapped", "labels")}
    assert len(set(contents.values())) == 4


def test_what_a_table_holds_is_told_without_reading_its_rows(tmp_path, monkeypatch):
    write_table(tmp_path / "t", numbered(CHUNK + 9))
    table = ExampleTable(tmp_path / "t")
    content, contrary = table.content, table.contrary
    monkeypatch.setattr(tables.table, "_told", None)
    again = ExampleTable(tmp_path / "t")
    assert (again.content, again.contrary) == (content, contrary)


def test_rows_whose_rewards_turn_the_labels_round(tmp_path):
    rated = [
        ([1.0, 0.0], [1.0, 9.0]),
        ([1.0, 0.0], [5.0, 5.0]),
        ([1.0, 0.0], None),
        ([1.0, 0.5, 0.0], [2.0, 3.0, 9.0]),
    ]
    rated += [([1.0, 0.5, 0.0], [2.0, 3.0, 1.0]), ([1.0, 1.0], [1.0, 2.0]), ([1.0], [3.0])]
    rows = [Example([], ["x"] * len(labels), labels, rewards, id="") for labels, rewards in rated]
    write_table(tmp_path / "t", rows)
    assert ExampleTable(tmp_path / "t").contrary == 2


def test_an_empty_table(tmp_path):
    write_table(tmp_path / "t", [])
    table = ExampleTable(tmp_path / "t")
    assert len(table) == 0
    assert list(table) == table.ids == []


def test_chosen_rows(tmp_path):
    rows = numbered(5)
    chosen = Subset(rows, [4, 0])
    assert list(chosen) == [rows[4], rows[0]]
    assert chosen[1:] == [rows[0]]
    assert list(Subset(rows, [1, 2, 4])) == [rows[1], rows[2], rows[4]]
    assert list(Subset(rows, [])) == []
