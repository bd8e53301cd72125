"""Tables for people: texts are printed as they stand."""

from alignlab.console import print_table, printer


def test_brackets_colons_and_paths_are_no_markup(capsys):
    rows = [["regularizers=[sft]", "[/x]"], [":smile:", "[bold]b[/bold]"], ["\\[a]", "[red"]]
    print_table("sweep [1]", ["row", "[val/loss]"], rows)
    shown = capsys.readouterr().out
    for text in ("sweep [1]", "[val/loss]", *(cell for row in rows for cell in row)):
        assert text in shown
    printer().print("/x/[/y]: [sft]")
    assert capsys.readouterr().out == "/x/[/y]: [sft]\n"
