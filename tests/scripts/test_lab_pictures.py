"""The pictures of the lab's page."""

import pytest

from scripts import lab_pictures
from scripts.lab_pictures import distance, wrong
from tests.repository import ROOT


def test_every_picture_of_the_page_is_drawn_by_the_script():
    page = (ROOT / "docs" / "lab.md").read_text(encoding="utf-8")
    for name in lab_pictures.PICTURES:
        assert f"(pictures/lab_{name}.png)" in page
        assert (ROOT / "docs" / "pictures" / f"lab_{name}.png").is_file()


def test_pictures_are_written(tmp_path, monkeypatch):
    monkeypatch.delitem(lab_pictures.PICTURES, "rewards")  # which asks the tiny model
    lab_pictures.main(["--out", str(tmp_path), "--rows", "120"])
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "lab_kin.png",
        "lab_length.png",
        "lab_noise.png",
    ]


@pytest.mark.parametrize(
    ("one", "other", "expected"), [("", "", 0), ("a b c", "a x c", 1), ("a b", "b a", 2), ("a", "b c d", 3)]
)
def test_distance_in_words(one, other, expected):
    assert distance(one.split(), other.split()) == distance(other.split(), one.split()) == expected


def test_what_counts_as_wrong():
    plain = lab_pictures.lists(30, responses=2)
    turned = lab_pictures.flipped(plain, rate=1.0)
    assert not any(is_wrong for _, is_wrong in wrong(plain, plain))
    assert all(is_wrong and gap > 0 for gap, is_wrong in wrong(plain, turned))
